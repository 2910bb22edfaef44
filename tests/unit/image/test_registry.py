"""Pulling from registries: good ones, protected ones, and liars."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lambdad.image.build import BuildOptions, build_image
from lambdad.image.credentials import Keychain
from lambdad.image.errors import (
    ImageAccessDenied,
    ImageError,
    ImageNotFound,
    InvalidImage,
    RegistryUnavailable,
)
from lambdad.image.oci import Platform
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource, is_loopback
from lambdad.testing.image_blobs import ImageBlobs, make_image, make_index
from lambdad.testing.image_build import AMD64, build_bytes
from lambdad.testing.image_registry import Answer, FakeRegistry, Request, fake_registry
from lambdad.testing.image_tar import LayerBuilder

LAYERS = [LayerBuilder().file("a", b"x" * 50_000).build(), LayerBuilder().file("b", bytes(range(256)) * 300).build()]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as found:
        found.images["team/app:v1"] = make_image(LAYERS)
        yield found


class Pauses(list[float]):
    """Records how long the client wanted to wait, and goes on at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def pull(
    registry: FakeRegistry, name: str = "team/app:v1", config: Path | None = None, pauses: Pauses | None = None
) -> bytes:
    options = RegistryOptions(
        keychain=Keychain(str(config or "/nonexistent/config.json")),
        wait=pauses if pauses is not None else Pauses(),
        read_timeout=30,
    )
    out = io.BytesIO()
    reference = parse_reference(f"{registry.host}/{name}")
    build_image(RegistrySource(reference, options), AMD64, out, BuildOptions())
    return out.getvalue()


def image_of(registry: FakeRegistry) -> ImageBlobs:
    return registry.images["team/app:v1"]


def test_an_image_from_a_registry_is_the_image_of_its_layers(registry: FakeRegistry) -> None:
    assert pull(registry) == build_bytes(LAYERS, BuildOptions())


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_every_compression_gives_the_same_bytes(registry: FakeRegistry, compression: str) -> None:
    registry.images["team/app:v1"] = make_image(LAYERS, compression=compression, docker=True)  # type: ignore[arg-type]
    assert pull(registry) == build_bytes(LAYERS, BuildOptions())


def test_an_index_is_followed_to_the_platform_and_a_digest_pins_it(registry: FakeRegistry) -> None:
    other = make_image([LayerBuilder().file("other").build()], architecture="arm64")
    index = make_index([("unknown", other), ("arm64", other), ("amd64", image_of(registry))])
    registry.images["team/multi:v1"] = index
    expected = build_bytes(LAYERS, BuildOptions())
    assert pull(registry, "team/multi:v1") == expected
    assert pull(registry, f"team/multi@{index.digest}") == expected


def test_a_missing_image_and_a_missing_platform_say_so(registry: FakeRegistry) -> None:
    with pytest.raises(ImageNotFound, match="has no image team/none:latest"):
        pull(registry, "team/none")
    options = RegistryOptions(keychain=Keychain("/nonexistent/config.json"))
    source = RegistrySource(parse_reference(f"{registry.host}/team/app:v1"), options)
    with pytest.raises(InvalidImage, match="the image is for linux/amd64"):
        build_image(source, Platform("arm64"), io.BytesIO(), BuildOptions())


def write_login(path: Path, host: str, user: str = "me", password: str = "s3cret") -> Path:
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return path


def protect_with_tokens(registry: FakeRegistry) -> None:
    """Bearer tokens from a token server on the same host, for the user `me` only."""
    basic = "Basic " + base64.b64encode(b"me:s3cret").decode()

    def fault(request: Request) -> Answer | None:
        if request.path.startswith("/token"):
            query = parse_qs(urlsplit(request.path).query)
            if request.headers.get("authorization") != basic:
                return Answer(401)
            assert query["scope"] == ["repository:team/app:pull"]
            return Answer(200, b'{"token": "t0k"}')
        if request.headers.get("authorization") != "Bearer t0k":
            realm = f'Bearer realm="http://{registry.host}/token",service="fake",scope="x"'
            return Answer(401, headers={"WWW-Authenticate": realm})
        return None

    registry.fault = fault


def test_a_token_is_fetched_with_the_credentials_of_docker_login(registry: FakeRegistry, tmp_path: Path) -> None:
    protect_with_tokens(registry)
    assert pull(registry, config=write_login(tmp_path / "c", registry.host)) == build_bytes(LAYERS, BuildOptions())
    assert sum(request.path.startswith("/token") for request in registry.requests) == 1


@pytest.mark.parametrize("password", [None, "wrong"])
def test_no_or_wrong_credentials_are_access_denied_and_never_shown(
    registry: FakeRegistry, tmp_path: Path, password: str | None
) -> None:
    protect_with_tokens(registry)
    config = write_login(tmp_path / "c", registry.host, "me", password) if password else None
    with pytest.raises(ImageAccessDenied) as caught:
        pull(registry, config=config)
    assert caught.value.reason_code == "ImageAccessDenied"
    assert "wrong" not in str(caught.value)


def test_basic_authentication_works_too(registry: FakeRegistry, tmp_path: Path) -> None:
    basic = "Basic " + base64.b64encode(b"me:s3cret").decode()

    def fault(request: Request) -> Answer | None:
        if request.headers.get("authorization") != basic:
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return None

    registry.fault = fault
    assert pull(registry, config=write_login(tmp_path / "c", registry.host))
    with pytest.raises(ImageAccessDenied, match="log in first"):
        pull(registry)


def test_credentials_do_not_follow_a_redirect_to_another_host(registry: FakeRegistry, tmp_path: Path) -> None:
    with fake_registry() as storage:
        storage.images["team/app:v1"] = image_of(registry)
        protect_with_tokens(registry)
        inner = registry.fault

        def fault(request: Request) -> Answer | None:
            refused = inner(request)
            if refused is None and "/blobs/" in request.path:
                return Answer(307, headers={"Location": f"http://{storage.host}{request.path}"})
            return refused

        registry.fault = fault
        pull(registry, config=write_login(tmp_path / "c", registry.host))
        assert storage.requests
        assert not any("authorization" in request.headers for request in storage.requests)


def test_plain_http_off_this_machine_is_refused_even_as_a_redirect(registry: FakeRegistry) -> None:
    registry.fault = lambda _: Answer(302, headers={"Location": "http://192.0.2.1/blob"})
    with pytest.raises(ImageAccessDenied, match="plain HTTP"):
        pull(registry)
    assert [is_loopback(host) for host in ("localhost:1", "[::1]:5", "127.9.9.9", "example.org", "localhost.evil")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_redirect_that_never_ends_is_given_up(registry: FakeRegistry) -> None:
    registry.fault = lambda request: Answer(302, headers={"Location": request.path})
    with pytest.raises(InvalidImage, match="redirects more than"):
        pull(registry)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_that_may_pass_is_tried_again_and_then_named(registry: FakeRegistry, status: int) -> None:
    failures = iter(range(2))
    registry.fault = lambda _: (
        Answer(status, headers={"Retry-After": "7"}) if next(failures, None) is not None else None
    )
    pauses = Pauses()
    assert pull(registry, pauses=pauses) == build_bytes(LAYERS, BuildOptions())
    assert pauses == [7.0, 7.0]
    registry.fault = lambda _: Answer(status)
    pauses = Pauses()
    with pytest.raises(RegistryUnavailable, match=f"in 4 attempts: HTTP status {status}"):
        pull(registry, pauses=pauses)
    assert pauses == [0.25, 0.5, 1.0]


def test_a_cut_layer_is_continued_where_it_stopped(registry: FakeRegistry) -> None:
    cuts = iter(range(2))

    def fault(request: Request) -> Answer | None:
        answer = registry.honest(request)
        if "/blobs/" in request.path and len(answer.body) > 300 and next(cuts, None) is not None:
            answer.cut = 100
            return answer
        return None

    registry.images["team/app:v1"] = make_image(LAYERS, compression="")
    registry.fault = fault
    assert pull(registry) == build_bytes(LAYERS, BuildOptions())
    ranges = [request.headers["range"] for request in registry.requests if "range" in request.headers]
    assert ranges == ["bytes=100-", "bytes=200-"]


def with_blobs(registry: FakeRegistry, change: dict[str, Answer]) -> None:
    """Let the registry answer some blobs otherwise."""
    registry.fault = lambda request: next((a for d, a in change.items() if request.path.endswith(d)), None)


def test_a_layer_with_another_digest_is_refused(registry: FakeRegistry) -> None:
    for digest, blob in image_of(registry).blobs.items():
        flipped = bytes([blob[0], *blob[1:-1], blob[-1] ^ 1])
        with_blobs(registry, {digest: Answer(200, flipped)})
        if digest != image_of(registry).digest:
            with pytest.raises(InvalidImage, match="is not what its digest"):
                pull(registry)


def test_an_endless_layer_stops_at_its_declared_size(registry: FakeRegistry) -> None:
    layer = json.loads(image_of(registry).manifest)["layers"][0]["digest"]
    with_blobs(registry, {layer: Answer(200, b"z" * 65536, endless=True)})
    with pytest.raises(InvalidImage, match="sends more than"):
        pull(registry)


def test_an_endless_manifest_stops_at_the_limit(registry: FakeRegistry) -> None:
    registry.fault = lambda _: Answer(200, b" " * 65536, {"Content-Type": image_of(registry).media_type}, endless=True)
    with pytest.raises(InvalidImage, match="more than the 4194304 bytes"):
        pull(registry)


@pytest.mark.parametrize("kind", ["text/html", "application/vnd.docker.distribution.manifest.v1+prettyjws"])
def test_a_wrong_type_is_an_invalid_image(registry: FakeRegistry, kind: str) -> None:
    registry.fault = lambda _: Answer(200, b"{}", {"Content-Type": kind})
    with pytest.raises(InvalidImage):
        pull(registry)


def test_a_registry_that_is_not_there_is_unavailable() -> None:
    with fake_registry() as gone:
        pass
    with pytest.raises(RegistryUnavailable, match="could not be fetched"):
        pull(gone)


def test_a_mirror_is_asked_first_without_credentials_and_the_registry_has_the_last_word(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    with fake_registry() as mirror:
        options = RegistryOptions(
            keychain=Keychain(str(write_login(tmp_path / "c", registry.host))),
            mirrors={registry.host: (f"http://{mirror.host}",)},
            wait=Pauses(),
        )
        source = RegistrySource(parse_reference(f"{registry.host}/team/app:v1"), options)
        build_image(source, AMD64, io.BytesIO(), BuildOptions())
        assert len(mirror.requests) == 1
        mirror.images["team/app:v1"] = image_of(registry)
        registry.requests.clear()
        build_image(source, AMD64, io.BytesIO(), BuildOptions())
        assert registry.requests == []
        assert not any("authorization" in request.headers for request in mirror.requests)


def test_a_digest_that_is_right_with_a_layer_that_is_not_what_the_config_says_is_refused(
    registry: FakeRegistry,
) -> None:
    image = make_image(LAYERS)
    manifest = json.loads(image.manifest)
    other = LayerBuilder().file("evil").build()
    manifest["layers"][0].update(digest=image.add(other), size=len(other))
    image.manifest = json.dumps(manifest).encode()
    image.add(image.manifest)
    registry.images["team/app:v1"] = image
    with pytest.raises(InvalidImage, match="a layer is not what the image's config says"):
        pull(registry)


def test_every_refusal_is_an_image_error_with_a_reason_code_of_aws() -> None:
    codes = {kind.reason_code for kind in (ImageError, InvalidImage, ImageAccessDenied, RegistryUnavailable)}
    assert codes == {"InternalError", "InvalidImage", "ImageAccessDenied"}
