"""The extension key `x-airgate`: policies of the edge that the gateway itself ignores.

These types are the one definition: the strict checks walk them, `airgate.spec.extension_schema` makes the JSON Schema
from them, and `msgspec` reads a checked object into them. A key left out is `UNSET`, so that a route falls back to the
file and the file to strict mode's defaults; null switches a limit off.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

KEY = "x-airgate"

UNIX = "unix"
"""Among trusted proxies: the peers of a Unix socket, which have no address."""

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1, le=2**40)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Rates: TypeAlias = Text | list[Text]
Json: TypeAlias = Any
"""Any JSON value; msgspec makes a schema for it under this name only."""
JsonSchema: TypeAlias = dict[str, Json] | bool
Variable: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
Name: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_-]*$")]
HeaderName: TypeAlias = Annotated[str, Meta(pattern="^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]


class ClientLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may do on a route."""

    rate: Annotated[Rates | UnsetType | None, Meta(description="Requests in any stretch of time: 10/s, 100/min")] = (
        UNSET
    )
    concurrency: Annotated[Count | UnsetType | None, Meta(description="Requests under way at the same time")] = UNSET


class RouteLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a request to a route may take."""

    body: Annotated[Bytes | UnsetType | None, Meta(description="Bytes of a request's body; more is 413")] = UNSET
    body_seconds: Annotated[
        Seconds | UnsetType | None, Meta(description="Seconds until the body is in; slower is 408")
    ] = UNSET
    seconds: Annotated[
        Seconds | UnsetType | None, Meta(description="Seconds until the answer is out; longer is 504")
    ] = UNSET
    rate: Annotated[
        Rates | UnsetType | None, Meta(description="Requests of all clients in any stretch of time; more are 429")
    ] = UNSET
    concurrency: Annotated[
        Count | UnsetType | None, Meta(description="Requests of all clients under way at once; more are 503")
    ] = UNSET
    per_client: Annotated[ClientLimits | UnsetType, Meta(description="The same for each client; more are 429")] = UNSET


class FileLimits(RouteLimits, frozen=True, forbid_unknown_fields=True):
    """The limits of all routes, and those that hold before a route is known."""

    headers: Annotated[Count | UnsetType | None, Meta(description="Header lines of a request; more are 431")] = UNSET
    header_bytes: Annotated[Bytes | UnsetType | None, Meta(description="Bytes of all header lines; more are 431")] = (
        UNSET
    )
    header_seconds: Annotated[
        Seconds | UnsetType | None, Meta(description="Seconds until the headers are in; slower is 408")
    ] = UNSET
    uri: Annotated[Bytes | UnsetType | None, Meta(description="Bytes of the request target; more are 414")] = UNSET
    store: Annotated[
        Text | UnsetType,
        Meta(description="File or redis:// URL in which all workers count rates; else each worker counts its own"),
    ] = UNSET


class BreakerPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """When a server that fails is left alone; see `airgate.policy.breaker`."""

    failures: Annotated[Count, Meta(description="Failed calls in the window before calls stop")] = 20
    share: Annotated[float, Meta(gt=0, le=1, description="Share of the calls in the window that failed")] = 0.5
    window: Annotated[Seconds, Meta(description="Seconds over which calls are counted")] = 10.0
    cooldown: Annotated[Seconds, Meta(description="Seconds for which no call is made")] = 1.0
    probes: Annotated[Count, Meta(description="Calls that must succeed before all are let through")] = 1


class RouteUpstream(Struct, frozen=True, forbid_unknown_fields=True):
    """How an upstream is called for a route."""

    connect: Annotated[Seconds | UnsetType | None, Meta(description="Seconds until the connection stands")] = UNSET
    read: Annotated[Seconds | UnsetType | None, Meta(description="Seconds of silence of a server")] = UNSET
    total: Annotated[Seconds | UnsetType | None, Meta(description="Seconds of a whole call")] = UNSET
    retries: Annotated[
        Annotated[int, Meta(ge=0, le=5)] | UnsetType,
        Meta(description="Times that GET, HEAD or OPTIONS without a body is sent again when nothing was answered"),
    ] = UNSET


class FileUpstream(RouteUpstream, frozen=True, forbid_unknown_fields=True):
    """How upstreams are called."""

    breaker: Annotated[
        BreakerPolicy | UnsetType | None, Meta(description="Circuit breaker of each server; null for none")
    ] = UNSET
    retry_budget: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | UnsetType, Meta(description="Retries that each call adds to what is left")
    ] = UNSET


class ClientHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """A client that a trusted proxy names."""

    header: Annotated[HeaderName, Meta(description="Header by which a trusted proxy names the client")]


class CacheMemory(Struct, frozen=True, forbid_unknown_fields=True):
    """The memory of the cache in each worker."""

    bytes: Annotated[Bytes, Meta(description="Bytes of all kept answers in a worker")] = 64 * 1024 * 1024
    entry: Annotated[Bytes, Meta(description="Bytes of one answer; larger ones are not kept")] = 1024 * 1024


class RouteCache(Struct, frozen=True, forbid_unknown_fields=True):
    """Keeping a route's answers as RFC 9111 allows."""

    ttl: Annotated[
        Seconds | UnsetType, Meta(description="Seconds that an answer is fresh when the server does not say")
    ] = UNSET


class Validate(Struct, frozen=True, forbid_unknown_fields=True):
    """What a request must look like."""

    body: Annotated[JsonSchema | UnsetType, Meta(description="JSON Schema of the body; implies that it is JSON")] = (
        UNSET
    )
    query: Annotated[JsonSchema | UnsetType, Meta(description="JSON Schema of the query as an object")] = UNSET
    headers: Annotated[
        JsonSchema | UnsetType, Meta(description="JSON Schema of the headers as an object, names in small letters")
    ] = UNSET
    operation: Annotated[Text | UnsetType, Meta(description="operationId in the OpenAPI document")] = UNSET
    document: Annotated[Text | UnsetType, Meta(description="OpenAPI document, a path next to this file")] = UNSET


class RouteIdentity(Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's word for who its client is, told to the server of a route; see `airgate.policy.signed_identity`."""

    dags: Annotated[list[Text], Meta(description="DAGs whose runs a client of the route may start")]


class FileIdentity(Struct, frozen=True, forbid_unknown_fields=True):
    """What that word is signed with."""

    secret: Annotated[
        Text, Meta(description="Secrets of at least 32 bytes, with commas or blanks between them; the first one signs")
    ]


class RoutePolicies(Struct, frozen=True, forbid_unknown_fields=True):
    """`x-airgate` of a route."""

    limits: Annotated[RouteLimits | UnsetType, Meta(description="Limits, where they differ from the file's")] = UNSET
    upstream: Annotated[RouteUpstream | UnsetType, Meta(description="Timeouts and retries, likewise")] = UNSET
    validate: Annotated[Validate | UnsetType, Meta(description="What a request must look like")] = UNSET
    rewrite: Annotated[
        Annotated[str, Meta(pattern="^/")] | UnsetType, Meta(description="Path for the server, as /v2/{id}")
    ] = UNSET
    cache: Annotated[RouteCache | bool | UnsetType, Meta(description="Whether answers are kept, and how")] = UNSET
    body: Annotated[Json | UnsetType, Meta(description="JSON body for the server, with references in it")] = UNSET
    identity: Annotated[
        RouteIdentity | UnsetType, Meta(description="Tells the server who the client is, by the gateway's signature")
    ] = UNSET


class FileServices(Struct, frozen=True, forbid_unknown_fields=True):
    """What services and hooks are given."""

    env: Annotated[list[Variable], Meta(description="Names of the variables that services and hooks are given")] = []


class FilePolicies(Struct, frozen=True, forbid_unknown_fields=True):
    """`x-airgate` of the whole file."""

    limits: Annotated[FileLimits | UnsetType, Meta(description="Limits of every route")] = UNSET
    upstream: Annotated[FileUpstream | UnsetType, Meta(description="Timeouts, retries and breaker of every call")] = (
        UNSET
    )
    trusted_proxies: Annotated[
        list[Text] | UnsetType, Meta(description="Addresses or networks whose forwarding headers are believed")
    ] = UNSET
    client: Annotated[
        Literal["peer", "token"] | ClientHeader | UnsetType,
        Meta(description="Who a client is: its address, the subject of its token, or a header of a trusted proxy"),
    ] = UNSET
    openapi: Annotated[Text | UnsetType, Meta(description="OpenAPI document of the operations, next to this file")] = (
        UNSET
    )
    cache: Annotated[CacheMemory | UnsetType, Meta(description="Memory of the cache")] = UNSET
    services: Annotated[FileServices | UnsetType, Meta(description="What services and hooks are given")] = UNSET
    identity: Annotated[FileIdentity | UnsetType, Meta(description="What signs who a client is")] = UNSET


class BranchMapping(Struct, frozen=True, forbid_unknown_fields=True):
    """Headers and query of a branch, with the same references as a route's mapping, and `$request.path.NAME`."""

    headers: Annotated[dict[HeaderName, str], Meta(description="Header name to reference")] = {}
    query: Annotated[dict[str, str], Meta(description="Query name to reference")] = {}


class Branch(Struct, frozen=True, forbid_unknown_fields=True):
    """One upstream call of an aggregation."""

    server: Annotated[Text, Meta(description="Alias of the server")]
    path: Annotated[Annotated[str, Meta(pattern="^/")], Meta(description="Path there, with the route's parameters")]
    method: Annotated[Literal["GET", "POST"], Meta(description="Method of the call")] = "GET"
    required: Annotated[bool, Meta(description="Whether the answer fails without this branch")] = True
    timeout: Annotated[Seconds, Meta(description="Seconds of the whole call")] = 10.0
    mapping: Annotated[BranchMapping, Meta(description="Headers and query of the call")] = BranchMapping()
    forward: Annotated[list[HeaderName], Meta(description="Headers of the client that go along")] = []
    body: Annotated[Json | UnsetType, Meta(description="JSON body of a POST, with references in it")] = UNSET
    select: Annotated[Text | UnsetType, Meta(description="JMESPath expression for the part to keep")] = UNSET
    limit: Annotated[Bytes, Meta(description="Bytes of the branch's answer")] = 1024 * 1024


class Aggregate(Struct, frozen=True, forbid_unknown_fields=True):
    """An integration of several upstream calls, made at the same time and answered as one."""

    type: Literal["aggregate"]
    branches: Annotated[dict[Name, Branch], Meta(min_length=1, max_length=32, description="Calls by name")]
