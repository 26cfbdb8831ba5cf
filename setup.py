"""Everything is said in pyproject.toml but this: the model in the box, pretrained/, travels inside the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["danqing*", "components*", "pipelines*", "serving*"]), "danqing.box"],
    package_dir={"danqing.box": "pretrained"},
)
