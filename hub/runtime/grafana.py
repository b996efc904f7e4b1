"""The only file that speaks to Grafana, over grafana-api's generic calls; its trouble comes out in words.

grafana-api is of 2020: it knows nothing of alert rules, service accounts or folders by uid, but its `api` calls whatever it is
told. What it leaves out is added here: an answer without a body, an answer that is no JSON, a redirect, every kind of refusal.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaAPI, GrafanaClientError, GrafanaException, GrafanaServerError

from hub.errors import DependencyDown, HubError

OLDEST = (9, 1)
"""Before it, Grafana has no alert rules over HTTP and no service accounts."""
PATIENCE = 20.0


class Grafana:
    """A Grafana, and what a token lets us do there."""

    def __init__(self, url: str, token: str) -> None:
        """`url`: with the path, where Grafana is served below one. `token`: of a service account."""
        self.url = url
        at = urlsplit(url)
        path = at.path.strip("/")
        self._api = GrafanaAPI(token, host=at.netloc, url_path_prefix=f"{path}/" if path else "", protocol=at.scheme, timeout=PATIENCE)
        self._api.s.max_redirects = 0
        self._api.s.hooks["response"].append(self._note)
        self._last: requests.Response | None = None

    def version(self) -> tuple[int, int]:
        """Major and minor; (0, 0) where it is kept secret. HubError where this is no Grafana, or one too old."""
        health = self._call("GET", "/health", "")
        if not isinstance(health, dict) or "database" not in health:
            raise HubError(self._no_grafana())
        numbers = re.match(r"(\d+)\.(\d+)", str(health.get("version") or "0.0"))
        version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        if (0, 0) < version < OLDEST:
            needed = ".".join(map(str, OLDEST))
            raise HubError(f"{self.url} is Grafana {health['version']}; alert rules and service accounts need {needed} or newer")
        return version

    def find(self, path: str, needs: str) -> Any:
        """What is there, or None. `needs`: the permission that Grafana asks for."""
        try:
            return self._call("GET", path, needs)
        except _Absent:
            return None

    def send(self, verb: str, path: str, body: dict[str, Any], needs: str, *, editable: bool = False) -> Any:
        """Create (POST) or change (PUT) something. `editable`: people may change it in Grafana afterwards."""
        return self._call(verb, path, needs, body, {"X-Disable-Provenance": "true"} if editable else None)

    def complaint(self, source: str) -> str | None:
        """What Grafana says when it asks a data source itself; None if all is well, or if this Grafana cannot say."""
        try:
            self._api.GET(f"/datasources/uid/{source}/health")
        except GrafanaException as error:
            return _words(error) if error.status_code in {400, 500, 502, 503} else None
        except (requests.RequestException, ValueError, TypeError):
            return None
        return None

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._last = response

    def _call(self, verb: str, path: str, needs: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        try:
            return getattr(self._api, verb)(path, body, headers)
        except GrafanaServerError as error:
            raise DependencyDown(f"{self.url} is in trouble itself: {_words(error)}") from error
        except GrafanaClientError as error:
            raise self._refusal(error, path, needs) from error
        except requests.exceptions.SSLError as error:
            raise HubError(f"{self.url}: its certificate is not trusted: {error}") from error
        except requests.TooManyRedirects as error:
            where = "" if error.response is None else error.response.headers.get("Location", "")
            raise HubError(f"{self.url} redirects to {where}; set grafana.url to the address that Grafana itself answers on") from error
        except requests.exceptions.JSONDecodeError as error:
            if self._last is not None and self._last.ok and not self._last.content:
                return None
            raise HubError(self._no_grafana()) from error
        except requests.RequestException as error:
            why = "in time" if isinstance(error, requests.Timeout) else f"({_reason(error)})"
            raise DependencyDown(f"{self.url} does not answer {why}; start Grafana, or set grafana.url") from error
        except ValueError:  # it would show the token
            raise HubError("grafana.token has letters in it that no token has") from None
        except TypeError as error:  # an error whose text is not an object
            if self._last is not None and self._last.status_code >= 500:
                raise DependencyDown(f"{self.url} answers with HTTP {self._last.status_code}") from error
            raise HubError(self._no_grafana()) from error

    def _refusal(self, error: GrafanaClientError, path: str, needs: str) -> HubError:
        if error.status_code == 401:
            return HubError(
                f"{self.url} does not know this token; in Grafana: Administration, Service accounts, Add service account"
                " with the role Admin, Add token; then set grafana.token"
            )
        if error.status_code == 403:
            named = re.search(r"[Pp]ermissions? needed: ([\w.:]+\w)", _words(error))
            return HubError(
                f"{self.url}: the token may not do this: {named[1] if named else needs} is needed; give its service account the role Admin"
            )
        if error.status_code == 404:
            return _Absent(f"{self.url}/api{path} is not there; is the path in grafana.url right?")
        return HubError(f"{self.url}/api{path}: Grafana refuses: {_words(error)}")

    def _no_grafana(self) -> str:
        return f"{self.url} answers, but is not a Grafana; set grafana.url"


class _Absent(HubError):
    """HTTP 404."""


def _words(error: GrafanaException) -> str:
    """What Grafana says of an error, in one line."""
    answer = error.response
    text = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
    return " ".join(str(text or error.message).split())[:500]


def _reason(error: requests.RequestException) -> str:
    """The innermost cause, without the library's own names."""
    inner: BaseException = error
    while inner.__context__ is not None:
        inner = inner.__context__
    return getattr(inner, "strerror", None) or str(inner) or type(error).__name__
