"""The label for generated content that China asks for: in the metadata, and visible."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from danqing.provenance import Origin, Stamping, aigc, inspect, prompt_digest, stamp
from danqing.provenance import label as seals
from danqing.provenance.origin import canonical
from danqing.provenance.png import parse

ORIGIN = Origin(model="tiny-1", seed=1, guidance=None, prompt_sha256=prompt_digest("bamboo"))
ONLY = Stamping(c2pa=False, watermark=False)
LABEL = '{"Label":"1","ContentProducer":"somebody","ProduceID":"42"}'
OPEN = f'<x xmlns:t="{aigc._NAMESPACE}"><t:AIGC>'


def test_the_label_has_the_seven_fields_in_both_places():
    texts = dict(parse(stamp(Image.new("RGB", (64, 64)), ORIGIN, ONLY)).texts)
    fields = json.loads(texts["AIGC"])["AIGC"]
    assert list(fields) == list(aigc.FIELDS)
    assert (fields["Label"], fields["ContentProducer"]) == ("1", "danqing")
    assert canonical(aigc._from_xmp(texts["XML:com.adobe.xmp"])) == canonical(fields)


@pytest.mark.parametrize("producer", ["某某公司", 'A & "B" <C>', "]]>"])
def test_any_name_of_a_producer_is_kept(producer):
    data = stamp(Image.new("RGB", (64, 64)), ORIGIN, dataclasses.replace(ONLY, producer=producer))
    report = inspect(data)
    assert (report["aigc"].state, report["aigc"].fields["ContentProducer"]) == ("intact", producer)


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        ([("AIGC", LABEL)], "untrusted"),
        ([("AIGC", f'{{"AIGC":{LABEL}}}')], "untrusted"),
        ([("AIGC", LABEL), ("AIGC", LABEL.replace("42", "43"))], "tampered"),
        ([("AIGC", '{"Label":"1"}')], "tampered"),
        ([("AIGC", "[" * 100_000)], "tampered"),
        ([("AIGC", '{"Label":1,"ContentProducer":[],"ProduceID":{}}')], "tampered"),
        ([(aigc.XMP, f'<!DOCTYPE x [<!ENTITY a "b">]>{OPEN}&a;</t:AIGC></x>')], "tampered"),
        ([(aigc.XMP, OPEN)], "tampered"),
        ([(aigc.XMP, f"{OPEN}{LABEL}</t:AIGC></x>")], "untrusted"),
        ([(aigc.XMP, "<x/>")], "absent"),
    ],
)  # fmt: skip
def test_labels_of_others_are_read_with_care(texts, state):
    assert aigc.check(texts, "0" * 64).state == state


@pytest.mark.parametrize(("kind", "side"), [("zh", 512), ("zh", 128), ("en", 512), ("zh", 800)])
def test_the_visible_label_is_large_enough_and_leaves_the_rest_alone(kind, side):
    paper = Image.new("RGB", (side, side), (245, 240, 230))
    labelled = np.asarray(seals.draw(paper, kind), int)
    changed = np.abs(labelled - np.asarray(paper, int)).sum(2) > 60
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    light = (labelled.min(2) > 80) & changed.cumsum(0).astype(bool) & changed.any(0)[None]
    field = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    edge = field.shape[1] // 6  # within the round corners
    letters = np.flatnonzero(field[:, edge:-edge].any(1))
    lines = np.split(letters, np.flatnonzero(np.diff(letters) > 1) + 1)
    assert min(len(line) for line in lines) >= 0.05 * side
    assert rows[0] > side / 2 and np.mean(changed) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 900), (900, 40)])
@pytest.mark.parametrize("kind", ["zh", "en"])
def test_a_label_fits_into_any_picture(size, kind):
    assert seals.draw(Image.new("RGB", size), kind).size == size
