"""The images: each is built, run without rights on a read-only root, and does its job there."""

from __future__ import annotations

import pytest
from engine_parts import Engine, Images

pytestmark = pytest.mark.slow


def test_the_command_line_answers(podman: Engine, images: Images) -> None:
    assert "register" in podman.hardened(images["cpu"], "danqing", "--help").stdout


def test_docker_api(podman: Engine, images: Images, service: str) -> None:
    import docker

    client = docker.DockerClient(base_url=service)
    assert any("localhost/danqing/cpu:test" in image.tags for image in client.images.list())
