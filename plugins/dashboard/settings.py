"""The section `dashboard` of the configuration."""

import ipaddress
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from hub.settings import LocalPath, PluginSettings

HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]


class DashboardSettings(PluginSettings):
    """Where the page is served, and who may see it."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """The address to listen on. On any but the loopback's, everything needs the password."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8787
    hosts: tuple[HostName, ...] = ()
    """Further names by which browsers reach it; addresses, localhost and this machine's own name are known."""
    password: Annotated[SecretStr, Field(min_length=12)] | None = None
    """Default: one is made at the first start; see `hub dashboard password`."""
    certificate_file: LocalPath | None = None
    """For https: PEM, with the chain."""
    key_file: LocalPath | None = None

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together: give both, or none")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def address(self) -> str:
        """What to type into a browser here."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.certificate_file else ''}://{host}:{self.port}"
