"""Who may talk to whom, and whether the addresses that are written down lead anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from manifest_checks import BROUGHT, matches, of
from manifest_parts import Doc, Pod, pods

_ADDRESS = re.compile(r"\b(?:grpc|https?)://([a-z0-9][a-z0-9.-]*):(\d+)")


def default_deny(docs: list[Doc]) -> Iterator[str]:
    """Every namespace with pods denies what no policy allows, and lets DNS through."""
    for namespace in {pod.namespace for pod in pods(docs)}:
        own = [p["spec"] for p in of(docs, "NetworkPolicy") if p["metadata"].get("namespace", "") == namespace]
        everybody = [spec for spec in own if spec["podSelector"] == {}]
        if not any(set(s["policyTypes"]) == {"Ingress", "Egress"} and not s.get("ingress") and not s.get("egress")
                   for s in everybody):  # fmt: skip
            yield f"namespace {namespace}: nothing is denied by default"
        asked = [p for s in everybody for rule in s.get("egress") or [] for p in rule.get("ports") or []]
        if {(p["port"], p.get("protocol", "TCP")) for p in asked if p["port"] == 53} != {(53, "UDP"), (53, "TCP")}:
            yield f"namespace {namespace}: DNS does not get through"


def _rules(docs: list[Doc], way: str, side: str) -> Iterator[tuple[str, list[Pod], list[Pod], Doc]]:
    """Policy, the pods it is for, the pods of this namespace on the other side, a port."""
    everybody = pods(docs)
    for policy in of(docs, "NetworkPolicy"):
        mine = [pod for pod in everybody if matches(policy["spec"]["podSelector"], pod.labels)]
        for rule in policy["spec"].get(way) or []:
            for peer in rule.get(side) or [{}]:
                inside = "podSelector" in peer and "namespaceSelector" not in peer
                others = [pod for pod in everybody if inside and matches(peer["podSelector"], pod.labels)]
                for port in rule.get("ports") or []:
                    yield policy["metadata"]["name"], mine, others, port


def policy_ports(docs: list[Doc]) -> Iterator[str]:
    """Ports of policies are ports of the pods that they let callers in to, or out to."""
    for name, mine, _, port in _rules(docs, "ingress", "from"):
        for pod in mine:
            if port["port"] not in pod.ports() and port["port"] not in pod.ports().values():
                yield f"NetworkPolicy/{name}: {pod.where} has no port {port['port']}"
    for name, _, others, port in _rules(docs, "egress", "to"):
        for pod in others:
            if port["port"] not in pod.ports().values():
                yield f"NetworkPolicy/{name}: {pod.where} has no port {port['port']}"


def _let_out(docs: list[Doc]) -> set[tuple[str, str, int]]:
    """Who may call whom on which port, as far as the callers' policies go."""
    rules = _rules(docs, "egress", "to")
    return {(a.where, b.where, port["port"]) for _, mine, others, port in rules for a in mine for b in others}


def both_ways(docs: list[Doc]) -> Iterator[str]:
    """What may go out from one of our pods may come in at the other, and the other way round."""
    out = _let_out(docs)
    into = {
        (a.where, b.where, b.ports().get(p["port"], p["port"]))
        for _, mine, others, p in _rules(docs, "ingress", "from") for a in others for b in mine
    }  # fmt: skip
    for caller, called, port in sorted(out - into, key=str):
        yield f"{caller} may call {called} on {port}, which lets nobody in from there"
    for caller, called, port in sorted(into - out, key=str):
        yield f"{called} lets {caller} in on {port}, which is not let out there"


def addresses(docs: list[Doc]) -> Iterator[str]:
    """Services that are called by name are there, on that port, and the caller is let out to them."""
    services = {s["metadata"]["name"]: s for s in of(docs, "Service")}
    everybody = pods(docs)
    allowed = _let_out(docs)
    maps = {d["metadata"]["name"]: d.get("data") or {} for d in of(docs, "ConfigMap")}
    for pod in everybody:
        for container in pod.containers():
            said = [str(e.get("value", "")) for e in container.get("env") or []] + (container.get("args") or [])
            for env in container.get("env") or []:
                ref = (env.get("valueFrom") or {}).get("configMapKeyRef")
                said += [maps.get(ref["name"], {}).get(ref["key"], "")] if ref else []
            for host, port in _ADDRESS.findall(" ".join(said)):
                name = host.partition(".")[0]
                if host in ("localhost", "127.0.0.1") or ("Service", host) in BROUGHT:
                    continue
                service = services.get(name)
                if service is None or int(port) not in [p["port"] for p in service["spec"]["ports"]]:
                    yield f"{pod.where}: there is no Service at {host}:{port}"
                    continue
                target = next(
                    p.get("targetPort", p["port"]) for p in service["spec"]["ports"] if p["port"] == int(port)
                )
                for other in everybody:
                    if not matches({"matchLabels": service["spec"]["selector"]}, other.labels):
                        continue
                    if (pod.where, other.where, other.ports().get(target, target)) not in allowed:
                        yield f"{pod.where}: calls {host}:{port}, and no policy lets it out to {other.where}"


NETWORK = (default_deny, policy_ports, both_ways, addresses)
