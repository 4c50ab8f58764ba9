"""Who asks: the address of a client, also behind a proxy."""

from starlette.types import Scope

from musicrec.settings.addresses import Networks, contains

# The only address whose X-Forwarded-For uvicorn believes unless it is started with --forwarded-allow-ips.
_BELIEVED_BY_UVICORN = "127.0.0.1"
_UNTOLD = "behind a proxy that is not in trusted_addresses"


def client_address(scope: Scope, trusted: Networks) -> str | None:
    """The address of the client of a request; None for a request that a machine in `trusted` makes for itself.

    X-Forwarded-For counts only when it comes from a trusted address: then the last address in it that is not trusted is the client.
    uvicorn may have put that address into the scope already, on behalf of any program on this machine; where this machine is not trusted
    all such clients count as one, so that nobody gets a new limit by inventing addresses.
    """
    host = (scope.get("client") or ("unknown",))[0]
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if not values:
        return None if contains(trusted, host) else host
    forwarded = [_without_port(entry.strip()) for entry in b",".join(values).decode("latin-1").split(",")]
    if host in forwarded and not contains(trusted, _BELIEVED_BY_UVICORN):
        return _UNTOLD
    if not contains(trusted, host):
        return host
    return next((address for address in reversed(forwarded) if not contains(trusted, address)), None)


def _without_port(entry: str) -> str:
    """An address as proxies write it, without brackets and port.

    >>> [_without_port(entry) for entry in ("10.0.0.1:80", "[::1]:80", "::1", "a")]
    ['10.0.0.1', '::1', '::1', 'a']
    """
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
