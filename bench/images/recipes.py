"""What the images of the corpus are made of: layers, each one step above another, as a Dockerfile would have them.

Pure data. Versions of Python packages are pinned; those of Debian are what the mirror has, which is why the second base
differs from the first: it has the security updates since the last point release, the first has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Debian:
    """A minimal Debian. updates: with those of the security team, as an image has that is built again."""

    updates: bool


@dataclass(frozen=True, slots=True)
class Apt:
    """Debian packages, without what they recommend."""

    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pip:
    """Python packages, installed by the image's own interpreter, with the bytecode that pip compiles."""

    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """An application: path -> text."""

    files: dict[str, str] = field(default_factory=dict)


Step = Debian | Apt | Pip | Files


@dataclass(frozen=True, slots=True)
class Recipe:
    """One layer. below: name of the layer that it stands on, empty for a base."""

    below: str
    step: Step


_HANDLER = """
import importlib
import os
import time

SECONDS = {}
for module in filter(None, os.environ.get("IMPORTS", "").split(",")):
    before = time.perf_counter()
    importlib.import_module(module)
    SECONDS[module] = time.perf_counter() - before


def handler(event, context):
    return SECONDS
"""
_LARGE = (
    "numpy==1.26.4", "pandas==2.2.3", "scipy==1.14.1", "scikit-learn==1.5.2", "boto3==1.35.0", "requests==2.32.3",
    "pyarrow==17.0.0", "matplotlib==3.9.2", "numba==0.60.0", "statsmodels==0.14.4", "scikit-image==0.24.0",
    "opencv-python-headless==4.10.0.84", "polars==1.9.0", "sympy==1.13.3", "awslambdaric==3.0.0",
)  # fmt: skip


def _application(version: str) -> Files:
    text = "\n".join(f"ROUTES[{number}] = 'page {number} of version {version}'" for number in range(400))
    return Files(
        {
            "app/main.py": f"from flask import Flask\n\nROUTES = {{}}\n{text}\napp = Flask(__name__)\n",
            "app/settings.toml": f'version = "{version}"\n',
        }
    )


LAYERS: dict[str, Recipe] = {
    "debian": Recipe("", Debian(updates=False)),
    "python": Recipe("debian", Apt(("python3", "ca-certificates"))),
    "requests": Recipe("python", Pip(("requests==2.32.3",))),
    "boto3-old": Recipe("python", Pip(("boto3==1.34.100",))),
    "boto3-new": Recipe("python", Pip(("boto3==1.35.0",))),
    "numpy-old": Recipe("python", Pip(("numpy==1.26.4",))),
    "numpy-new": Recipe("python", Pip(("numpy==2.1.2",))),
    "pandas": Recipe("python", Pip(("pandas==2.2.3", "numpy==1.26.4"))),
    "scikit-learn": Recipe("python", Pip(("scikit-learn==1.5.2", "numpy==1.26.4"))),
    "flask": Recipe("python", Pip(("flask==3.0.3",))),
    "flask-app1": Recipe("flask", _application("1")),
    "flask-app2": Recipe("flask", _application("2")),
    "torch": Recipe("debian", Apt(("python3-torch",))),
    "node": Recipe("debian", Apt(("nodejs",))),
    "jdk": Recipe("debian", Apt(("openjdk-17-jdk-headless",))),
    "patched": Recipe("", Debian(updates=True)),
    "patched-python": Recipe("patched", Apt(("python3", "ca-certificates"))),
    "patched-requests": Recipe("patched-python", Pip(("requests==2.32.3",))),
    "patched-boto3": Recipe("patched-python", Pip(("boto3==1.35.0",))),
    "patched-pandas": Recipe("patched-python", Pip(("pandas==2.2.3", "numpy==1.26.4"))),
    "science": Recipe("python", Pip(_LARGE)),
    "science-app": Recipe("science", Files({"var/task/app.py": _HANDLER})),
}
"""Every layer by name, those below first."""

IMAGES = tuple(name for name in LAYERS if name not in ("science",))
"""Each of them is an image whose top is the layer of the same name."""
LARGE = "science-app"
"""The function that cold starts are measured with: a gigabyte of scientific Python."""
IMPORTS = "boto3,numpy,requests"
"""What its start imports: the value of its variable IMPORTS."""
REDEPLOY = ("flask-app1", "flask-app2")
"""An application before and after a change of its own files only."""


def chain(name: str) -> list[str]:
    """The layers of an image, lowest first."""
    found = [name]
    while LAYERS[found[0]].below:
        found.insert(0, LAYERS[found[0]].below)
    return found
