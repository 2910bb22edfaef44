"""What can go wrong with an image, as the function's state shows it.

Every error carries the `StateReasonCode` that AWS's API has for it. Messages say what was wrong and what to do, and
never contain credentials.
"""

from __future__ import annotations


class ImageError(Exception):
    """An image could not be built; `reason_code` is one of AWS's StateReasonCodes."""

    reason_code = "InternalError"


class InvalidImage(ImageError):
    """The image itself is wrong: damaged, hostile, of an unknown format, or beyond a limit."""

    reason_code = "InvalidImage"


class ImageTooLarge(InvalidImage):
    """A limit of `Limits` was passed; the message names it."""


class ImageNotFound(InvalidImage):
    """The registry or the archive has no such image, or none for the platform."""


class ImageAccessDenied(ImageError):
    """The registry refused the credentials, or wants some and none are configured."""

    reason_code = "ImageAccessDenied"


class RegistryUnavailable(ImageError):
    """The registry did not answer properly within the permitted attempts; trying later may help."""


class SpoolFull(ImageError):
    """No room for the build's temporary files."""


class BuildCancelled(ImageError):
    """The caller asked for the build to stop; nothing of it may be used."""
