"""Takes a Kerberos ticket with a password, by the libkrb5 that psycopg2-binary bundles for its libpq.

There is no kinit in AWS Lambda. psycopg2 has loaded the same library, so both read the same settings.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2

CREDENTIALS_SIZE = 1024  # bytes; a krb5_creds has less than 200 (krb5.h)


class TicketRefused(Exception):
    """The Kerberos library or the KDC refuses a ticket. The text is theirs."""


@cache
def library() -> ctypes.CDLL:
    """The library, with the types of the functions that are called here.

    Raises:
        TicketRefused: psycopg2 is not the wheel psycopg2-binary.
    """
    folder = Path(psycopg2.__file__).parent.parent / "psycopg2_binary.libs"
    files = sorted(folder.glob("libkrb5-*.so*"))
    if not files:
        raise TicketRefused(f"There is no libkrb5 in {folder}: the layer must hold the wheel psycopg2-binary.")
    krb5 = ctypes.CDLL(str(files[0]))
    krb5.krb5_get_error_message.restype = ctypes.c_void_p
    return krb5


def take_ticket(principal: str, password: str, cache_name: str) -> None:
    """Ask the KDC for a ticket, and keep it in a new credential cache such as `FILE:/tmp/x`.

    Settings come from the environment, as always with Kerberos ("krb5_get_init_creds_password", MIT krb5 API).

    Raises:
        TicketRefused: has the text of the library.
    """
    krb5, context = library(), ctypes.c_void_p()
    who, tickets, credentials = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.create_string_buffer(CREDENTIALS_SIZE)

    def call(name: str, *arguments: Any) -> None:
        if number := getattr(krb5, name)(context, *arguments):
            raise TicketRefused(said(krb5, context, number))

    if number := krb5.krb5_init_context(ctypes.byref(context)):
        raise TicketRefused(said(krb5, context, number))
    with ExitStack() as after:
        after.callback(krb5.krb5_free_context, context)
        call("krb5_parse_name", principal.encode(), ctypes.byref(who))
        after.callback(krb5.krb5_free_principal, context, who)
        # No prompter and no options: a user who must change the password is refused.
        call("krb5_get_init_creds_password", credentials, who, password.encode(), None, None, 0, None, None)
        after.callback(krb5.krb5_free_cred_contents, context, credentials)
        call("krb5_cc_resolve", cache_name.encode(), ctypes.byref(tickets))
        after.callback(krb5.krb5_cc_close, context, tickets)
        call("krb5_cc_initialize", tickets, who)
        call("krb5_cc_store_cred", tickets, credentials)


def said(krb5: ctypes.CDLL, context: ctypes.c_void_p, number: int) -> str:
    """The library's text for one of its error numbers."""
    address = krb5.krb5_get_error_message(context, ctypes.c_int32(number))
    text = ctypes.string_at(address).decode(errors="replace")
    krb5.krb5_free_error_message(context, ctypes.c_void_p(address))
    return text
