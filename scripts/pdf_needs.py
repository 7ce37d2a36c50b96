"""The programs and fonts that the PDF needs besides Python.

usage: pdf_needs.py

It prints the Debian packages that hold them, on one line. It needs nothing
but Python itself, so that it can be run before anything is installed.
"""
import shutil
import subprocess

# Debian package: a program or a file of TeX by which it is recognised
NEEDED = {
    "latexmk": "latexmk",
    "texlive-xetex": "xelatex",
    "texlive-latex-recommended": "unicode-math.sty",
    "texlive-latex-extra": "tabulary.sty",
    "texlive-pictures": "pgfplots.sty",
    "texlive-fonts-recommended": "rsfs10.tfm",
    "xindy": "xindy",
    "fonts-freefont-otf": "FreeSerif.otf",
    "fonts-dejavu-extra": "DejaVuSansMono-Oblique.ttf",
    "fonts-texgyre-math": "texgyretermes-math.otf",
}


def missing() -> list[str]:
    """The Debian packages of what cannot be found on this machine."""
    return [package for package, name in NEEDED.items() if not found(name)]


def found(name: str) -> bool:
    """Whether there is a program, or a file that TeX finds, of that name."""
    if "." not in name:
        return shutil.which(name) is not None
    return bool(shutil.which("kpsewhich")) and subprocess.run(
        ["kpsewhich", name], capture_output=True).returncode == 0


if __name__ == "__main__":
    print(*NEEDED)
