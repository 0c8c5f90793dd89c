"""Weights from strangers: nothing in them runs, nothing they claim is believed, and they say why.

Every program here would create a file, the canary. No test may find it.
"""

import builtins
import collections
import copyreg
import io
import json
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors
from small_model import small_model

from actionclip.errors import ActionCLIPError
from actionclip.model.convert import convert
from actionclip.model.weights.files import read_header, read_tensors
from actionclip.model.weights.folder import load_folder, save


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class SetsState(Calls):
    """Calls when its state is restored."""

    def __reduce__(self):
        return (collections.OrderedDict, (), None, None, iter([("k", Calls(*self.flat()))]))

    def flat(self):
        return (self.call[0], *self.call[1])


def programs(canary):
    """Names of attacks, and objects whose pickle makes the canary."""
    touch = f"open({canary!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {canary}"),
        "exec": Calls(exec, touch),
        "eval": Calls(eval, f"__import__('os').system('touch {canary}')"),
        "open": Calls(open, canary, "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "nested": {"model_state_dict": {"visual.proj": Calls(os.system, f"touch {canary}")}},
        "in optimizer": {"optimizer_state_dict": {"state": [Calls(os.mkdir, canary)]}},
        "in a tensor's place": [torch.ones(2), Calls(os.mkdir, canary)],
        "in ordered dict": SetsState(os.mkdir, canary),
        "torch.load": Calls(torch.load, canary),
        "torch.hub": Calls(torch.hub.load, "evil/repo", "model"),
        "jit": Calls(torch.jit.load, canary),
        "apply": Calls(torch.nn.Module.apply, torch.nn.Linear(1, 1), os.mkdir),
        "copyreg": Calls(copyreg._reconstructor, Calls, object, None),
        "numpy scalar": {"best": np.float64(3.0)},
        "numpy array": {"x": np.ones(3)},
        "builtins": Calls(builtins.getattr, "x", "__class__"),
        "lambda-like": Calls(map, os.mkdir, [canary]),
    }


NAMES = list(programs("x"))


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield str(path)
    assert not path.exists()


def refuse(file, reason="is not read|cannot be read|holds|also holds"):
    with pytest.raises(ActionCLIPError, match=reason) as caught:
        convert(file, file.parent / "folder")
    assert not (file.parent / "folder").exists()
    assert str(file) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("form", ["zip", "legacy", "bare", "archive by hand"])
@pytest.mark.parametrize("name", NAMES)
def test_no_program_in_a_checkpoint_runs(name, form, canary, tmp_path):
    attack = programs(canary)[name]
    file = tmp_path / "model.pt"
    if form == "bare":
        file.write_bytes(pickle.dumps(attack))
    elif form == "archive by hand":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps(attack, protocol=2))
            archive.writestr("model/version", "3\n")
    else:
        torch.save(attack, file, _use_new_zipfile_serialization=form == "zip")

    error = refuse(file)

    if form == "zip":
        assert "state_dict" in error.hint


def opcodes(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


BYPASSES = {
    "global by opcode": lambda c: opcodes(b"cos\nsystem\n", b"(S'touch " + c + b"'\ntR"),
    "stack global": lambda c: opcodes(
        b"\x8c\x02os\x94\x8c\x06system\x94\x93",
        b"\x8c",
        bytes([len(c) + 6]),
        b"touch " + c,
        b"\x85R",
    ),
    "inst": lambda c: opcodes(b"(S'touch " + c + b"'\nios\nsystem\n"),
    "obj": lambda c: opcodes(b"(cos\nsystem\nS'touch " + c + b"'\no"),
    "newobj": lambda c: opcodes(b"cos\nsystem\n(S'touch " + c + b"'\nt\x81"),
    "build on a class": lambda c: opcodes(
        b"ctorch\nTensor\n}S'__setstate__'\ncos\nsystem\nsbS'touch " + c + b"'\nb"
    ),
    "dotted name": lambda c: opcodes(b"ctorch\nserialization.os.system\n(S'touch " + c + b"'\ntR"),
    "through torch": lambda c: opcodes(b"ctorch.serialization\nos\n(S'system'\ntR"),
    "persistent id": lambda c: opcodes(b"cos\nsystem\nQ"),
    "extension": lambda c: opcodes(b"\x82\x01"),
    "endless list": lambda c: b"\x80\x02" + b"]" * 200_000 + b".",
    "deep nesting": lambda c: b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "huge string": lambda c: opcodes(b"X\xff\xff\xff\x7f"),
    "huge number": lambda c: opcodes(b"\x8b\xff\xff\xff\x7f"),
    "empty": lambda c: b"",
    "no stop": lambda c: b"\x80\x02}",
}


DANGEROUS = ("os.system", "exec", "eval", "nested", "in optimizer", "in ordered dict")


@pytest.mark.parametrize("name", DANGEROUS)
def test_pythons_own_reader_would_have_run_them(name, tmp_path):
    """Else the tests here could not fail."""
    pickle.loads(pickle.dumps(programs(str(tmp_path / "canary"))[name]))

    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["global by opcode", "stack global", "inst", "obj"])
def test_pythons_own_reader_would_have_run_those_by_hand(name, tmp_path):
    pickle.loads(BYPASSES[name](str(tmp_path / "canary").encode()))

    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("name", BYPASSES)
def test_programs_written_by_hand_do_not_run(name, archive, canary, tmp_path):
    file = tmp_path / "model.pt"
    program = BYPASSES[name](canary.encode())
    if archive:
        with zipfile.ZipFile(file, "w") as opened:
            opened.writestr("model/data.pkl", program)
            opened.writestr("model/version", "3\n")
    else:
        file.write_bytes(program)

    refuse(file)


def test_the_environment_cannot_loosen_the_reader(canary, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(Calls(os.mkdir, canary), tmp_path / "model.pt")

    refuse(tmp_path / "model.pt", "posix.mkdir")


def test_foreign_classes_are_named(tmp_path):
    torch.save({"epoch": np.float64(3), "state_dict": {}}, tmp_path / "model.pt")

    error = refuse(tmp_path / "model.pt", "more than weights")

    assert "numpy" in str(error)
    assert "torch.save(model.state_dict()" in error.hint


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_with_the_way_out(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "ViT-B-32.pt"))

    error = refuse(tmp_path / "ViT-B-32.pt", "TorchScript")

    assert "ViT-B-32/openai" in error.hint
    assert "state_dict()" in error.hint


def test_views_that_claim_more_than_the_file_holds(tmp_path):
    one = torch.ones(1)
    torch.save({"visual.proj": one.expand(10**6, 10**6)}, tmp_path / "a.pt")
    refuse(tmp_path / "a.pt", "more than the file")


@pytest.mark.parametrize(
    "value",
    [
        torch.eye(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
    ],
    ids=["sparse", "meta", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_another_kind(value, tmp_path):
    torch.save({"visual.proj": value}, tmp_path / "a.pt")

    refuse(tmp_path / "a.pt")


def test_archives_that_unpack_to_more_than_they_are(tmp_path):
    buffer = io.BytesIO()
    torch.save({"visual.proj": torch.zeros(1000, 1000)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry), zipfile.ZIP_DEFLATED)

    refuse(tmp_path / "a.pt", "compressed")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as target:
        target.writestr("b/data.pkl", bytes(10**8), zipfile.ZIP_DEFLATED)
    refuse(tmp_path / "b.pt", "declares 1 files of 100,000,000 bytes")


def header_of(table):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


ONE = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
TWICE = struct.pack("<Q", 2 * len(ONE) + 11) + f'{{"a":{ONE},"a":{ONE}}}'.encode() + bytes(4)
LIES = {
    "empty": (b"", "too few"),
    "header beyond the end": (struct.pack("<Q", 1000) + b"{}", "claims 1,000 bytes"),
    "header of exabytes": (struct.pack("<Q", 2**63) + b"{}", "claims"),
    "header of 100 MB": (struct.pack("<Q", 10**8) + b"{" + b" " * (10**8 - 2) + b"}", "claims"),
    "not JSON": (struct.pack("<Q", 4) + b"nope", "cannot be read"),
    "not UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "cannot be read"),
    "a list": (header_of([]), "not a table"),
    "deep": (struct.pack("<Q", 10**5) + b"[" * 10**5, "nested too deeply"),
    "overlap": (
        header_of({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}) + bytes(12),
        "overlap",
    ),
    "gap": (header_of({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}) + bytes(12), "gap"),
    "negative": (header_of({"a": entry([2], -8, 0)}), "overlap|gap"),
    "short data": (header_of({"a": entry([4], 0, 16)}) + bytes(8), "take 16 bytes"),
    "long data": (header_of({"a": entry([1], 0, 4)}) + bytes(8), "take 4 bytes"),
    "shape too large": (header_of({"a": entry([2**40, 2**40], 0, 4)}) + bytes(4), "shape"),
    "shape does not fit": (header_of({"a": entry([3], 0, 4)}) + bytes(4), r"\[3\] but 4 bytes"),
    "shape of fractions": (header_of({"a": entry([1.5], 0, 4)}) + bytes(4), "shape"),
    "negative shape": (header_of({"a": entry([-1, -1], 0, 4)}) + bytes(4), "shape"),
    "bool shape": (header_of({"a": entry([True], 0, 4)}) + bytes(4), "shape"),
    "unknown type": (header_of({"a": entry([1], 0, 4, "F31")}) + bytes(4), "F31"),
    "no offsets": (header_of({"a": {"dtype": "F32", "shape": [1]}}) + bytes(4), "describes 'a'"),
    "twice": (TWICE, "twice"),
    "NaN": (to_safetensors({"a": torch.tensor([1, float("nan")])}), "NaN or infinite"),
    "infinite": (to_safetensors({"a": torch.tensor([torch.inf])}), "NaN or infinite"),
}


@pytest.mark.parametrize("name", LIES)
def test_safetensors_that_lie(name, tmp_path):
    data, reason = LIES[name]
    (tmp_path / "model.safetensors").write_bytes(data)

    with pytest.raises(ActionCLIPError, match=reason):
        read_tensors(tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    return save(small_model(post="lstm"), tmp_path_factory.mktemp("good") / "model")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t | {"extra": torch.ones(1)}, "left over: extra"),
        (lambda t: {k: v for k, v in t.items() if "proj" not in k}, "missing: "),
        (lambda t: {k: v.flatten() for k, v in t.items()}, "and must be"),
        (lambda t: {k: v.int() for k, v in t.items()}, "int32 and must be"),
        (lambda t: {k: v * torch.nan for k, v in t.items()}, "NaN"),
        (lambda t: {}, "missing: "),
    ],
    ids=["extra", "missing", "shapes", "types", "NaN", "nothing"],
)
def test_weights_that_do_not_fit_the_configuration(change, reason, good_folder, tmp_path):
    tensors = change(read_tensors(good_folder / "model.safetensors"))
    (tmp_path / "model.safetensors").write_bytes(to_safetensors(tensors))
    (tmp_path / "config.json").write_bytes((good_folder / "config.json").read_bytes())

    with pytest.raises(ActionCLIPError, match=reason):
        load_folder(tmp_path)


def mutate(data, draw):
    """A copy with a few bytes changed, cut, doubled or replaced by extremes."""
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data))
        kind = draw.choice(("flip", "extreme", "cut", "double", "zeros"))
        if kind == "flip":
            data[at] ^= 1 << draw.randrange(8)
        elif kind == "extreme":
            data[at : at + 8] = draw.choice((b"\xff" * 8, b"\x7f" * 8, b"\x00" * 8, b"99999999"))
        elif kind == "cut":
            del data[at : at + draw.randint(1, 64)]
        elif kind == "double":
            data[at:at] = data[at : at + draw.randint(1, 64)]
        else:
            data[at : at + 16] = bytes(len(data[at : at + 16]))
        data = data or bytearray(b"\x00")
    return bytes(data)


def test_mutants_of_a_good_folder_load_or_are_refused(good_folder, tmp_path):
    """200 mutants: half of the configuration, half of the weights (mostly their header)."""
    draw = random.Random(2109)
    names = ("config.json", "model.safetensors")
    files = {name: (good_folder / name).read_bytes() for name in names}
    header = 8 + struct.unpack("<Q", files["model.safetensors"][:8])[0]
    errors = []
    for number in range(200):
        mutant = dict(files)
        if number % 2:
            mutant["config.json"] = mutate(files["config.json"], draw)
        else:
            weights = files["model.safetensors"]
            part = header if number % 8 else len(weights)
            mutant["model.safetensors"] = mutate(weights[:part], draw) + weights[part:]
        for name, data in mutant.items():
            (tmp_path / name).write_bytes(data)
        try:
            load_folder(tmp_path)
        except ActionCLIPError as error:
            errors.append(str(error))

    assert len(errors) > 100
    assert all(str(tmp_path) in error for error in errors)


def test_mutants_of_a_checkpoint_convert_or_are_refused(tmp_path):
    draw = random.Random(8472)
    model = small_model()
    state = model.backbone.clip.state_dict()
    torch.save({"state_dict": dict(state)}, tmp_path / "good.pt")
    data = (tmp_path / "good.pt").read_bytes()
    refused = 0
    for _ in range(60):
        (tmp_path / "model.pt").write_bytes(mutate(data[:4000], draw) + data[4000:])
        try:
            convert(tmp_path / "model.pt", tmp_path / "folder")
        except ActionCLIPError:
            refused += 1

    assert refused > 20


def test_reading_a_header_costs_nothing(good_folder):
    header = read_header(good_folder / "model.safetensors")

    assert header["backbone.clip.visual.proj"].shape == (64, 16)
