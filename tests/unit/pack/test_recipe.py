"""Recipes: what is understood, and what is refused with words that help."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.recipe import Packages, RpmSource, parse_recipe, parse_size

SMALLEST = """
name = "git"
[packages]
apt = ["git"]
[[stages]]
name = "git"
test = "git --version"
"""


def test_the_smallest_recipe():
    recipe = parse_recipe(SMALLEST)
    assert (recipe.name, recipe.base, recipe.everything) == ("git", "debian12", Packages(apt=("git",)))
    assert recipe.stages[0].test == "git --version"


def test_stages_add_up_in_order_without_repeating():
    recipe = parse_recipe(
        'name = "php"\n[[stages]]\napt = ["php-cli"]\n[[stages]]\napt = ["php-curl", "php-cli"]\npip = ["x"]\n'
    )
    assert recipe.upto(0).apt == ("php-cli",)
    assert recipe.upto(1) == Packages(apt=("php-cli", "php-curl"), pip=("x",))
    assert [stage.name for stage in recipe.stages] == ["stage-1", "stage-2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nmae = 'x'", "did you mean 'name'"),
        ("[package]\napt = []", "did you mean 'packages'"),
        ("[relocate]\nbare_prefix = []", "did you mean 'bare-prefix'"),
        ("[[stages]]\ntets = ''", "did you mean 'test'"),
        ("[prune]\nzzz = 1", "known keys: remove, unreachable"),
        ("base = 3", "must be a string"),
        ("entrypoints = 'x'", "must be a list of strings"),
        ("entrypoints = ['/etc/x']", "must be a path under /opt"),
        ("entrypoints = ['../x']", "must be a path under /opt"),
        ("budget = 'much'", "write it as 110 MB"),
        ("budget = -1", "not a size"),
        ("prune = 3", "must be a table"),
        ("[prune]\nunreachable = true", "needs entrypoints"),
        ("[prune]\nunreachable = 'yes'", "true or false"),
        ("[relocate]\nwritable = ['/etc/x']", "is not under /var"),
        ("[environment]\nA = 1", "must be a string"),
        ("stages = 3", r"\[\[stages\]\]"),
        ("[[stages]]\nname = 'a'\n[[stages]]\nname = 'a'", "two stages are called 'a'"),
        ("[[stages]]\nname = 'a b'", "letters, digits"),
        ("[[stages]]\npip = ['--index-url']", "is an option"),
        ("[[stages]]\napt = ['Git']", "not a Debian package name"),
        ("[[stages]]\nfiles = {'../../etc/passwd' = 'x'}", "must be a path under /opt"),
        ("[rpm]\nrepository = []", "did you mean 'repositories'"),
        ("[rpm]\nrepositories = ['ftp://x']", "must be http://, https:// or a directory"),
        ("[[stages]]\nrpm = ['httpd']", "rpm packages need a repository"),
        ("[[stages]]\nrpm = ['--root=/']", "not an rpm package name"),
        ("= 3", "not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_and_says_what_to_write(change, words):
    with pytest.raises(PackError, match=words):
        parse_recipe(f'name = "x"\n{change}\n' if not change.startswith("nmae") else change)


def test_rpm_packages_have_repositories_a_key_and_versions():
    text = """name = "x"
    [rpm]
    repositories = ["https://mirror/os/", "local"]
    key = "KEY"
    installed = ["ours"]
    [[stages]]
    rpm = ["httpd >= 2.4", "mod_ssl"]"""
    recipe = parse_recipe(text)
    assert recipe.rpm == RpmSource(("https://mirror/os/", "local"), "KEY", ("ours",))
    assert recipe.everything.rpm == ("httpd >= 2.4", "mod_ssl")


def test_a_recipe_needs_a_name_and_something_to_do():
    with pytest.raises(PackError, match="has no name"):
        parse_recipe("base = 'x'")
    with pytest.raises(PackError, match="asks for nothing"):
        parse_recipe('name = "x"')


@pytest.mark.parametrize(
    ("text", "size"),
    [("110 MB", 110 * 1024**2), ("1.5 kb", 1536), ("250M", 250 * 1024**2), ("7", 7), ("2 B", 2), ("1GB", 1024**3)],
)
def test_sizes_are_powers_of_1024_as_lambda_counts(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1 TB", "-1 MB", "1e9", "9" * 40])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(PackError):
        parse_size(text)
