"""`airgate-edge serve | check | explain`: the command line of the edge."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from airgate.edge.listening import CannotListen, host_and_port
from airgate.edge.loading import FileRefused, Source
from airgate.edge.settings import Settings

_COMMANDS = ("serve", "check", "explain")
REFUSED = 2
"""The exit code for a file, an address or an option that cannot be used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Without the name of one, the arguments are those of `serve`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] not in (*_COMMANDS, "-h", "--help"):
        given.insert(0, "serve")
    options = _parser().parse_args(given)
    try:
        return int(options.run(options))
    except (FileRefused, CannotListen) as refused:
        return refuse(str(refused))


def refuse(text: str) -> int:
    """Say why nothing is done; the exit code."""
    say(text)
    return REFUSED


def say(text: str) -> None:
    """Tell whoever runs the command, in a line of its own."""
    sys.stderr.write(f"airgate.edge: {text}\n")
    sys.stderr.flush()


def _serve(options: argparse.Namespace) -> int:
    if (options.tls_cert is None) != (options.tls_key is None):
        return refuse("--tls-cert and --tls-key go together")
    source = _source(options)
    text = source.read()
    source.check(text)

    # A refusal should not wait for the server's import.
    from airgate.edge.certificate import Tls
    from airgate.edge.operating import Place, operate
    from airgate.edge.running import Operation

    place = Place(options.uds or (options.host, options.port), options.admin, options.workers, not options.no_watch)
    tls = None if options.tls_cert is None else Tls(options.tls_cert, options.tls_key)
    operation = Operation(options.drain_timeout, tls, options.access_log)
    return operate(source, text, place, operation, say)


def _check(options: argparse.Namespace) -> int:
    source = _source(options)
    source.check(source.read())
    say(f"{source.path} has no problems")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from airgate.edge.explaining import explain

    source = _source(options)
    text = source.read()
    source.check(text)
    sys.stdout.write(explain(source, text, options.method, options.target, options.header, options.claims))
    return 0


def _source(options: argparse.Namespace) -> Source:
    settings = Settings.of(options.mode)
    if getattr(options, "connect_timeout", None) is not None:
        settings = replace(settings, connect_timeout=options.connect_timeout or None)
    if getattr(options, "total_timeout", None) is not None:
        settings = replace(settings, total_timeout=options.total_timeout or None)
    if options.stand_ins is not None and not options.stand_ins.is_dir():
        raise FileRefused(f"--stand-ins {options.stand_ins} is no folder")
    return Source(options.config, options.mode, settings, os.environ, stand_ins=options.stand_ins)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airgate-edge", description="Serve a gateway's configuration file.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a file; the default")
    _add_file(serve)
    _add_serving(serve)
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="list all problems of a file; exit code 2 if there are any")
    _add_file(check)
    check.set_defaults(run=_check)
    explain = commands.add_parser("explain", help="tell what becomes of a request, without sending anything")
    _add_file(explain)
    explain.add_argument("method", metavar="METHOD")
    explain.add_argument("target", metavar="PATH", help="path and query, as a client would send them")
    explain.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header of the request"
    )
    explain.add_argument("--claims", metavar="JSON", help="claims of a token that is taken to be valid")
    explain.set_defaults(run=_explain)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the gateway's JSON file")
    parser.add_argument("--mode", choices=("strict", "compatible"), default="strict", help="default: %(default)s")
    parser.add_argument(
        "--stand-ins", type=Path, metavar="FOLDER", help="Python modules that run in place of services and hooks"
    )


def _add_serving(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="port to listen on; 0 takes a free one and says which")
    where.add_argument("--uds", type=Path, metavar="PATH", help="Unix socket to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM); serves HTTPS")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM)")
    parser.add_argument("--admin", type=_address, metavar="HOST:PORT", help="listener for /-/health and its like")
    parser.add_argument("--access-log", metavar="PATH", help="append a JSON line a request; - is standard output")
    parser.add_argument(
        "--drain-timeout", type=float, default=10.0, metavar="S", help="seconds running requests may take at the end"
    )
    parser.add_argument("--no-watch", action="store_true", help="reload the file on SIGHUP only, not when it changes")
    seconds = "seconds; 0 means no limit (default: %s in strict mode, none in compatible mode)"
    parser.add_argument("--connect-timeout", type=float, metavar="S", help=f"connecting to a server, {seconds % 5}")
    parser.add_argument("--total-timeout", type=float, metavar="S", help=f"a whole upstream call, {seconds % 300}")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    try:
        return host_and_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
