"""The secrets that a configuration names: each is read once, so that a missing one is found before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keeld.config.draft import Draft
from keeld.config.fields import Section
from keeld.config.report import Place, Report
from keeld.credentials import Secret, credential_path, credentials_directory
from keeld.errors import ConfigError

SecretPath = tuple[str | int, ...]
"""Section, id or index, and key of a `*_file`."""

_WHERE = "outside systemd it is looked up beside the configuration"


def read_secrets(draft: Draft, folder: Path, report: Report, *, credentials_required: bool) -> dict[SecretPath, Secret]:
    """Read every secret the document names; what cannot be read is reported.

    A bare name belongs to systemd, which hands it over only to the running service: unless `credentials_required`,
    one that is not found outside of it is a warning.
    """
    secrets: dict[SecretPath, Secret] = {}
    for path, name, place in _named(draft):
        file = credential_path(name, folder)
        if "/" not in name and credentials_directory() is None and not file.exists():
            note = report.error if credentials_required else report.warn
            remedy = f"add LoadCredential={name}:/path/to/it to the unit, or write the file's path; {_WHERE}"
            note(place, f"secret {name!r} is not here, and there is no $CREDENTIALS_DIRECTORY", remedy)
            continue
        try:
            secrets[path] = secret = Secret.from_file(file)
        except ConfigError as error:
            remedy = f"`{path[-1]}` must lead to a one-line text file that keeld can read; it leads to {file}"
            report.error(place, error.problems[0].wrong, remedy)
            continue
        if secret.is_world_readable and credentials_directory() is None:
            report.warn(place, f"every user of this host can read {file}", f"chmod 600 {file}")
    return secrets


def _named(draft: Draft) -> Iterator[tuple[SecretPath, str, Place]]:
    document = draft.document
    owners: list[tuple[SecretPath, SecretPath, Section]] = []
    if document.mqtt is not None:
        owners.append((("mqtt",), ("mqtt",), document.mqtt))
    if document.heartbeat is not None:
        owners.append((("heartbeat",), ("heartbeat",), document.heartbeat))
    owners += [(("influx", at), draft.member("influx", at), influx) for at, influx in enumerate(document.influx)]
    owners += [(("notify", at), draft.member("notify", at), channel) for at, channel in enumerate(document.notify)]
    for path, written, owner in owners:
        for key in type(owner).model_fields:
            name = getattr(owner, key)
            if key.endswith("_file") and name is not None:
                yield (*path, key), name, draft.origin.at(*written, key)
    for device_id, device in document.devices.items():
        if device.password_file is not None:
            place = draft.place("devices", device_id, "password_file")
            yield ("devices", device_id, "password_file"), device.password_file, place
