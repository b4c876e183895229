"""The stub of the Rust module says what the built module has: every name, parameter and default, no more, no less."""

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from starnet import _core

STUB = Path(__file__).resolve().parent.parent / "python" / "starnet" / "_core.pyi"

Signature = list[tuple[str, object]]


class Default:
    """A default that the signature does not spell out."""

    def __eq__(self, other: object) -> bool:
        return other is not inspect.Parameter.empty

    def __repr__(self) -> str:
        return "..."


def signature_of(callable_: object) -> Signature:
    """Names and defaults of a function of the built module."""
    parameters = inspect.signature(callable_).parameters.values()
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters if p.name != "self")
    return [(p.name, Default() if p.default is ... else p.default) for p in parameters if p.name != "self"]


def signature_in(function: ast.FunctionDef) -> Signature:
    """Names and defaults of a function of the stub."""
    arguments = function.args
    others = [*arguments.posonlyargs, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    assert others == [None, None]
    missing = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*missing, *(ast.literal_eval(value) for value in arguments.defaults)]
    pairs = zip((a.arg for a in arguments.args), defaults, strict=True)
    return [(name, default) for name, default in pairs if name not in ("self", "cls")]


def declared(body: list[ast.stmt]) -> dict[str, object]:
    """What a module or class of the stub declares: signatures of functions, members of classes, None for data."""
    found: dict[str, object] = {}
    for node in body:
        match node:
            case ast.ClassDef():
                found[node.name] = declared(node.body)
            case ast.FunctionDef():
                is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
                found[node.name] = None if is_property else signature_in(node)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = None
    return found


def built(owner: ModuleType | type) -> dict[str, object]:
    """The same of the built module or class."""
    found: dict[str, object] = {}
    for name, member in vars(owner).items():
        if name == "__new__":
            found[name] = signature_of(owner)
        elif name.startswith("__") and name not in ("__version__", "__simd__"):
            continue
        elif isinstance(member, type):
            found[name] = built(member)
        else:
            found[name] = signature_of(member) if callable(member) else None
    return found


def differences(stub: str, module: ModuleType) -> list[str]:
    """Names and signatures that the stub and the module do not share."""

    def compare(said: dict[str, object], real: dict[str, object], prefix: str = "") -> list[str]:
        found = [f"{prefix}{name}: not in the stub" for name in real.keys() - said.keys()]
        found += [f"{prefix}{name}: not in the module" for name in said.keys() - real.keys()]
        for name in said.keys() & real.keys():
            ours, theirs = said[name], real[name]
            if isinstance(ours, dict) and isinstance(theirs, dict):
                found += compare(ours, theirs, f"{prefix}{name}.")
            elif ours != theirs:
                found.append(f"{prefix}{name}: stub {ours}, module {theirs}")
        return sorted(found)

    return compare(declared(ast.parse(stub).body), built(module))


def test_stub_and_module_agree() -> None:
    assert differences(STUB.read_text(), _core) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("def set_threads(n: int)", "def set_thread(n: int)", {"set_threads", "set_thread"}),
        ("connectivity: int = 1,\n", "", {"watershed"}),
        ("connectivity: int = 1,", "connectivity: int = 2,", {"watershed"}),
        ("connectivity: int = 1,", "connectivity: int = 1, compactness: float = 0,", {"watershed"}),
        ("    def choose(self, ranks: list[int])", "    def choose(self, rank: list[int])", {"OrderStatistics.choose"}),
        ("    @property\n    def count(self) -> int: ...\n", "", {"OrderStatistics.count"}),
        ("dtype: np.dtype[Any], ", "", {"OrderStatistics.__new__"}),
        ("    MAX_RANKS: ClassVar[int]\n", "", {"OrderStatistics.MAX_RANKS"}),
    ],
)
def test_a_wrong_stub_is_noticed(old: str, new: str, expected: set[str]) -> None:
    stub = STUB.read_text()
    assert old in stub
    assert {line.split(":")[0] for line in differences(stub.replace(old, new), _core)} == expected
