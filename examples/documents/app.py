"""Keeps texts in a git repository, and makes PDFs and pictures of them, with programs from layers under /opt.

The programs are called by their whole path: /opt/bin comes last in PATH, after the machine's own.
"""

import base64
import os
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path("/tmp/repository")
GIT = ("/opt/bin/git", "-C", str(REPOSITORY), "-c", "user.name=Lambda", "-c", "user.email=lambda@example.com")
PAGE = """
/Helvetica findfont 24 scalefont setfont
72 720 moveto (%s) show showpage
"""


def handler(event, context):
    match event["action"]:
        case "commit":
            return commit(event["files"], event["message"])
        case "render":
            return render(event["text"])
        case "about":
            return about()
    raise ValueError(f"no such action: {event['action']}")


def commit(files, message):
    """Into a repository that lasts as long as this sandbox; returns its log, newest first."""
    if not REPOSITORY.exists():
        REPOSITORY.mkdir()
        run(*GIT, "init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (REPOSITORY / name).write_text(text)
    run(*GIT, "add", "--all")
    run(*GIT, "commit", "--quiet", "--message", message)
    log = run(*GIT, "log", "--format=%h %s").splitlines()
    return {"log": log, "changed": run(*GIT, "show", "--stat", "--format=").strip()}


def render(text):
    """A page with the text: as a PDF by Ghostscript, and small, as a JPEG, by ImageMagick."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    with tempfile.TemporaryDirectory() as name:
        pdf, page, small = (Path(name, file) for file in ("page.pdf", "page.png", "small.jpg"))
        gs = ("/opt/bin/gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE")
        run(*gs, "-sDEVICE=pdfwrite", f"-sOutputFile={pdf}", "-c", PAGE % escaped)
        run(*gs, "-sDEVICE=png16m", "-r72", f"-sOutputFile={page}", str(pdf))
        run("/opt/bin/convert", str(page), "-trim", "-resize", "200x", str(small))
        size = run("/opt/bin/identify", "-format", "%m %w", str(small))
        return {"pdf": encode(pdf), "jpeg": encode(small), "size": size}


def about():
    """What the layers are: versions, and how many of git's programs are links to one."""
    core = Path("/opt/lib/git-core")
    return {
        "git": run("/opt/bin/git", "--version").strip(),
        "gs": run("/opt/bin/gs", "--version").strip(),
        "convert": run("/opt/bin/convert", "-version").splitlines()[0],
        "links": sum(path.is_symlink() for path in core.iterdir()),
        "exec_path": run("/opt/bin/git", "--exec-path").strip(),
    }


def run(*command):
    environment = {**os.environ, "HOME": "/tmp"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def encode(path):
    return base64.b64encode(path.read_bytes()).decode()
