"""What no JSON schema can say of this API: each refusal of what OpenAPI allows, with its reason.

Neighbours: ``contract_hooks`` passes these over, ``test_contract`` sees that each has its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME, PASSWORD = "ana", "correct horse battery staple"  # as the examples of OpenAPI have them
ROLES = ("anonymous", "user", "admin")


@dataclass(frozen=True)
class Explained:
    """One refusal of what OpenAPI allows, or a status it is right to answer.

    Attributes:
        code: Of the problem.
        words: Its ``detail`` holds these (a regular expression).
    """

    code: str
    words: str
    reason: str


_WHOLE = "1.0 is an integer to JSON schema; here only 1 is (S54)"
_URL = "what an address may be is more than a pattern: ports, labels, literals"
_TEXT = "patterns of JSON schema know no Unicode categories: control characters, letters of every script"
EXPLAINED = (
    Explained("query_invalid", r"^character \d+: ", "the language of filters is no regular expression"),
    Explained("query_invalid", r"does not go together with ", "parameters that contradict each other"),
    Explained("query_invalid", r"^expected the file's name$", "needed where the body is the file, not with a form"),
    Explained("data_invalid", r"^expected a \.csv, .* pickles are never read$", "a name's ending, or the bytes' type"),
    Explained("data_invalid", r"^the content is ", "what the bytes of a file are JSON schema cannot say"),
    Explained(
        "webhook_invalid", r"^(expected an address such as|the address is malformed|expected a host such as)", _URL
    ),
    Explained("webhook_invalid", r"^the address holds a user or a fragment|^the port is another service's", _URL),
    Explained("webhook_invalid", r"^the host cannot be resolved to public addresses only$", "only the network knows"),
    Explained("too_large", "", "what is limited is the bytes of a body; JSON schema counts members and characters"),
    Explained("body_invalid", r"^the body holds half a character or a NUL$", "to JSON schema both are text (S52, S85)"),
    Explained("request_invalid", r"expected text$", _TEXT),
    Explained("request_invalid", r"valid integer$", _WHOLE),
    Explained("config_invalid", r"expected (a list of )?text( or null)?$", _TEXT),
    Explained("query_invalid", r"expected (a list of )?text( or null)?$", _TEXT),
    Explained("query_invalid", r"^the span ends before it begins$", "JSON schema cannot compare two parameters"),
    Explained("query_invalid", r"^expected at most 512 characters of text$", _TEXT),
    Explained("request_invalid", r"^hyperparameters stand at the top and in method, and differ", "two keys may agree"),
    Explained("request_invalid", r"^expected none: the dataset of training_file brings its own", "two keys together"),
    Explained("config_invalid", r"expected 1 to 80 letters, digits, spaces, dots, _ or -$", _TEXT),
    Explained("config_invalid", r"expected (-1 or |auto or |a number from 0 and below 1 or )?a whole number ", _WHOLE),
    Explained("config_invalid", r"expected balanced or a mapping of names to numbers", _TEXT),
    Explained("config_invalid", r"expected one of builtin:", "the lists of models and data are the operator's"),
    Explained("config_invalid", r"expected 1: several machines", "one more machine is no question of form"),
    Explained(
        "config_invalid", r"does not go together with ", "two keys that contradict each other: it sees one at a time"
    ),
)
