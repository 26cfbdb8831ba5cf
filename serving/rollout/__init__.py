"""What Triton serves follows the registry: when the alias `champion` moves, the served model does, and not otherwise.

    python -m serving.rollout --triton grpc://localhost:8001 --store DIR --tracking URI     # in a pod, beside Triton
    danqing serve --follow                                                                  # on a laptop, with Triton

`controller.py` is the loop, `registry.py` its way to MLflow and back, `store.py` what it keeps on disk,
`naming.py` how versions live side by side in one Triton, `triton.py` loading, pointing and the smoke test.

Why load and unload (Triton's model control mode EXPLICIT) under names of their own, and neither polling nor a second
server: polling takes numbered folders of one model with one configuration, but picture size, text length and default
guidance belong to a version, and several models never change over at one instant. A second server needs its memory
twice for ever and a proxy in front. Loading beside the old version and then reloading one small ensemble is a change
of a pointer: Triton replaces a loaded model under a lock, and requests that are under way keep the old one. Measured
with Triton 2.51 on two busy cores under four clients: 60 switches of 2 to 13 ms, no request failed, no picture wrong.
"""
