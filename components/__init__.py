"""One KFP component a step: artifacts in, one library call, artifacts out.

The bodies are lightweight components: KFP ships their source, and the image brings the library. Images are named here
by release; `python -m pipelines.compile --cpu-image … --cuda-image …` puts digests in their place.
"""

from danqing import __version__

CPU_IMAGE = f"danqing:{__version__}-cpu"
CUDA_IMAGE = f"danqing:{__version__}-cuda"
