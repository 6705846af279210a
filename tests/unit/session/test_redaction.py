from __future__ import annotations

import json
import random
import re
import string
import time
from typing import Any

import pytest
from hypothesis import given, strategies

from otel_untether.session import secret_commands as commands
from otel_untether.session import secret_patterns as table
from otel_untether.session import secret_places as places
from otel_untether.session.named_secrets import names_secret
from otel_untether.session.redaction import redact, redact_json
from otel_untether.session.secret_members import hidden_words

# Where a command prints a key; `\n` and `\"` escaped are JSON in a string of JSON.
CONTEXTS = (
    "{}",
    "first line\n{}\nlast line",
    'it says "{}" here',
    "curl -H 'X-Thing: {}' https://example.org",
    '{{"text": "one\\n{}\\ntwo"}}',
    "\x1b[31m{}\x1b[0m",
    "\t{}\t",
    "a={}",
)


def made(template: str, alphabet: str = "A-Za-z0-9") -> str:
    """Fill each ``{20}`` of an example with as many characters of `alphabet`."""
    pool = re.findall(f"[{alphabet}]", string.printable)
    chance = random.Random(template)
    return re.sub(
        r"\{(\d+)\}", lambda size: "".join(chance.choices(pool, k=int(size[1]))), template
    )


@pytest.mark.parametrize("form", table.FORMATS, ids=lambda form: form.vendor)
def test_a_key_of_a_known_format_is_found_wherever_it_is_printed(form: table.Format) -> None:
    secret = made(f"{form.prefix}{{{form.least}}}", form.alphabet)
    for context in CONTEXTS:
        assert secret[len(form.prefix) :] not in redact(context.format(secret))


@pytest.mark.parametrize("form", table.FORMATS, ids=lambda form: form.vendor)
def test_what_only_begins_like_a_key_stays(form: table.Format) -> None:
    assert redact(f"see {form.innocent} there") == f"see {form.innocent} there"


@pytest.mark.parametrize(
    "shape", [*table.SHAPES, *table.COMMANDS, *places.PLACES], ids=lambda shape: shape.vendor
)
def test_a_shape_is_found_and_its_neighbour_stays(shape: table.Shape) -> None:
    secret = made(shape.secret)
    longest = max(re.split(r"[^A-Za-z0-9]", secret), key=len)
    assert longest not in redact(f"one\n{secret}\ntwo")
    assert redact(f"one\n{shape.innocent}\ntwo") == f"one\n{shape.innocent}\ntwo"


@pytest.mark.parametrize("way", commands.SPOKEN, ids=lambda way: way.name)
def test_a_way_to_show_a_secret_is_seen_and_its_neighbour_stays(way: commands.Way) -> None:
    secret = made(way.secret)
    clean = redact(f"one\n{secret}")
    assert "[redacted]" in clean
    shown = [word for word in re.split(r"[^A-Za-z0-9]", secret) if word not in way.secret]
    assert not [word for word in shown if word in clean]
    assert redact(f"one\n{way.innocent}") == f"one\n{way.innocent}"


PROGRAMS = (*table.OPTIONS, *places.PROGRAMS, *commands.PROGRAMS)


@pytest.mark.parametrize("option", PROGRAMS, ids=lambda option: option.program)
def test_a_programs_option_is_found_only_behind_the_program(option: table.Option) -> None:
    secret = made(option.secret)
    clean = redact(secret)
    assert "[redacted]" in clean
    assert clean.split()[0] == secret.split()[0]
    assert redact(option.innocent) == option.innocent


def test_the_table_can_be_read_by_go() -> None:
    """RE2 looks neither ahead nor back, and counts to a thousand."""
    for shape in (*table.SHAPES, *table.COMMANDS, *table.OPTIONS):
        assert not re.search(r"\(\?[=!<]|\}\+|[*+?]\+|\\Z", shape.expression.replace("(?i)", ""))
        assert all(int(n) <= 1000 for n in re.findall(r",(\d+)\}", shape.expression))


@pytest.mark.parametrize(
    "table_of",
    [
        "name,password\nbob,{}\n",
        "id\tapi_key\n1\t{}\n",
        " name | password \n------+------\n bob  | {}\n(1 row)",
        "+----+--------+\n| id | secret |\n+----+--------+\n|  1 | {} |\n+----+--------+",
        "| Service | Access key |\n|---|---|\n| mail | `{}` |",
        "INSERT INTO u (name, password) VALUES ('ada', 'x y'), ('bob', '{}');",
        "insert into u(id,`api_key`) values (1, N'{}')",
    ],
)
def test_a_columns_head_says_what_is_secret_below(table_of: str) -> None:
    clean = redact(table_of.format("correct-horse"))
    assert "correct-horse" not in clean
    assert clean.replace("[redacted]", "").count("\n") == table_of.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "call(\n    credentials,\n    compression,\n    timeout,\n)",
        "Here it says secret, which is fine,\nand here, too, nothing is.",
        "| Name | Tokens |\n|---|---|\n| a | 4096 |",
        "name,password\nbob,${DB_PASSWORD}\n",
        "INSERT INTO u (name, password) VALUES (?, ?)",
    ],
)
def test_what_is_no_table_of_secrets_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "document",
    [
        {"type": "random_password", "name": "db", "instances": [{"result": "hunter2"}]},
        {"db_password": {"sensitive": True, "type": "string", "value": "hunter2"}},
        {"outputs": {"db": {"sensitive": True, "value": "hunter2"}}},
        {"ParameterKey": "DbPassword", "ParameterValue": "hunter2"},
        {"OptionName": "DB_PASSWORD", "Value": "hunter2"},
        {"Name": "/db", "Type": "SecureString", "Value": "hunter2"},
        {"name": "projects/1/secrets/db/versions/1", "payload": {"data": "hunter2"}},
        {"element": "Password field of the form", "ref": "e12", "text": "hunter2"},
        {"headers": [["X-Api-Key", "hunter2"], ["Accept", "*/*"]]},
        {"command": ["curl", "-u", "me:hunter2", "https://example.org"]},
        {"command": ["mysql", "-phunter2", "shop"]},
        {"argv": ["docker", "login", "-u", "me", "-p", "hunter2"]},
        {"command": ["bash", "-lc", "redis-cli -a hunter2 ping"]},
        {"cells": [["name", "password"], ["bob", "x"]], "password": {"value": "hunter2"}},
    ],
)
def test_a_documents_form_says_what_is_secret(document: dict[str, Any]) -> None:
    """As a document, and as the text of one, which an agent has read."""
    assert "hunter2" not in redact_json(json.dumps(document).encode())
    assert "hunter2" not in redact(json.dumps(document, indent=1))
    assert "hunter2" not in redact_json(json.dumps({"text": json.dumps(document)}).encode())


@pytest.mark.parametrize(
    "document",
    [
        {"name": "color", "value": "blue"},
        {"command": ["git", "commit", "-m", "two words", "-p"]},
        {"points": [["a", 1], ["b", 2]]},
        {"type": "string", "default": "x"},
        {"element": "Name field", "text": "Bob"},
    ],
)
def test_a_document_without_secrets_stays(document: dict[str, Any]) -> None:
    assert json.loads(redact_json(json.dumps(document).encode())) == document


WORDS = strategies.lists(
    strategies.text("ab-= \n", max_size=4) | strategies.just("hunter2") | strategies.integers(),
    max_size=9,
)


@given(WORDS)
def test_words_keep_their_number_and_order(said: list[Any]) -> None:
    """Whatever is hidden of one, the others are as they were."""
    clean = hidden_words(said, lambda line: line.replace("hunter2", "[redacted]"))
    assert clean == ["[redacted]" if word == "hunter2" and len(said) > 1 else word for word in said]


@given(WORDS)
def test_a_secret_of_several_words_leaves_only_what_is_around_it(said: list[Any]) -> None:
    words = ["run", *said, "-p", "one", "two", "end"]
    clean = hidden_words(words, lambda line: line.replace("-p one two", "-p [redacted]"))
    assert clean == [*words[:-3], "[redacted]", "[redacted]", "end"]


@pytest.mark.parametrize(
    "line",
    [
        'let secret: &str = "{}";',
        "const token: string | undefined = '{}';",
        'val apiKey: String = "{}"',
        "password: Optional[str] = '{}'",
    ],
)
def test_a_type_between_name_and_value_hides_nothing(line: str) -> None:
    assert "hunter2" not in redact(line.format("hunter2"))


@pytest.mark.parametrize(
    "name",
    ["password", "DB_PASSWORD", "apiKey", "secret_id", "X-Api-Key", "smtp_pass", "client_secret"],
)
def test_a_name_says_that_its_value_is_secret(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name", ["max_token_count", "tokenizer", "token_type", "passed", "author", "password_file"]
)
def test_a_name_may_be_about_a_secret_only(name: str) -> None:
    assert not names_secret(name)


def test_json_is_walked_and_what_has_no_secret_is_not_touched() -> None:
    raw = b'{ "path": "/tmp/a",\t"n": [1, 2.50, null] }'
    assert redact_json(raw) == raw.decode()


def test_a_member_of_a_secret_name_goes_whole() -> None:
    told = json.loads(redact_json(b'{"a": {"Password": "x y", "pin": 1}, "tokens": 5}'))
    assert told == {"a": {"Password": "[redacted]", "pin": 1}, "tokens": 5}


def test_json_that_is_none_is_text() -> None:
    assert redact_json(b'{"password": "hunter2') == '{"password": "[redacted]'


LENGTH = 32 * 1024
ADVERSARIAL = (
    "a-", "token-", "token", "css mt-4-px-2-", "eyJ", "eyJ-", "eyJaaaaaaaaaa.", "key=", "key=1",
    "token=", "pwd=a ", 'token="', "token='token=\"", "\\", "://a:b@", "curl -u a:b ", " -p abcde",
    "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nAAAAAAAAAAAAAAAA\n",
    "AAAAAAAAAAAAAAAAAAAA\n-----END RSA PRIVATE KEY-----\n", "$2a$", "N-", "123456:A", "echo a |",
    "login a password ", "AKIAAAAAAAAAAAAAAAAA______", " ", "\n", '"', '"token","value":',
    "<token>",
    "token: |\n a\n", "\x1b[", "token is ", "cookie: a=b; ", "a:22:a:a:b\n", "\\u001b", "sk-aa-",
    " ".join(form.prefix for form in table.FORMATS),
    "password  ", "set -x TOKEN a ", 'send "', "(a,b) VALUES ", "(a,password) VALUES ('",
    "a,password\n", "a,password\nx,y\n", "| key |\n|--|\n", "login / ", "login a / ", '.token("',
    'auth("a",', 'variable "password" {', "put-parameter ", "secret set ", "vault kv put a b=c ",
    "wallet able ", "passwort a b ", "clave a b c ", "密码", "a/b_", "aB1_", "%22password%22%3A",
    "&quot;password&quot;:&quot;", " -u a -p ", "-----BEGIN PRIVATE KEY-----\nx\n", "login a ",
    "-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY-----", f"{'aA1+' * 16}\n", "login('a', ",
    "http -a a:", ":thin:", ">AUTH ", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "token: &a",
)  # fmt: skip


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_no_text_takes_long(piece: str) -> None:
    """32 KB in 20 ms where nothing else runs; here more of our own time, the best of five."""
    text = (piece * (LENGTH // len(piece) + 1))[:LENGTH]
    assert min(_seconds(text) for _ in range(5)) < 0.2


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_time_is_linear(piece: str) -> None:
    """Of sixteen times the text, what is quadratic takes 256 times as long; caches cost some."""
    short, long = (
        min(_seconds(piece * (n // len(piece))) for _ in range(3)) for n in (4096, 65536)
    )
    assert long < 128 * max(short, 0.001)


def _seconds(text: str) -> float:
    began = time.thread_time()
    redact(text)
    return time.thread_time() - began


TOKENS = (
    "acme_live_h7Gq2LxW9zPd4VtK8sRn3Bfc",
    "zz_v2_Ab3dE5fGh7Jk9LmN1pQr",
    "qx-h7Gq2LxW9zPd4VtK8sRn3B_fc",
    "tr_prod_OEAQLcXHONbZnIoFzrRl",
    "key_" + "0a1b2c3d" * 8,
)
IDS = (
    "toolu_01AbC3dE5fGh7Jk9LmN1pQrS",
    "call_h7Gq2LxW9zPd4VtK8sRn3Bfc",
    "chatcmpl-h7Gq2LxW9zPd4VtK8sRn3BfcAb",
    "resp_" + "0a1b2c3d" * 6,
    "test_convertUtf8ToUtf16AndBack",
    "on_getHTTPResponseCodeForURLOrNothing",
    "mcp__github__create_pull_request_review",
    "x86_64-unknown-linux-gnu-cpython-311",
    "web-7d9c5b4f6d-x2x9z-5dd5756b68",
    "feature/rotate-api-keys-and-tokens",
)


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_of_an_unknown_vendor_is_known_by_how_it_is_made(token: str) -> None:
    for context in CONTEXTS:
        assert token[-12:] not in redact(context.format(token))


@pytest.mark.parametrize("name", IDS)
def test_an_id_and_a_long_name_are_no_tokens(name: str) -> None:
    assert redact(f"see {name} there") == f"see {name} there"


SPOKEN = (
    "Passwort: {}", "Kennwort={}", "contraseña: {}", "La contraseña es {}", "mot de passe : {}",
    "Das Passwort ist {}", "senha = {}", "hasło: {}", "пароль: {}", "密码\uff1a{}", "密码是{}",
    "パスワード: {}", "비밀번호: {}", "şifre={}", "wachtwoord: {}", "usuario,contraseña\nbob,{}",
)  # fmt: skip
UNSPOKEN = (
    "Passwort vergessen?", "contraseña incorrecta", "La contraseña es incorrecta", "密码错误",
    "パスワードが違います", "Неверный пароль", "Passwort: ${PASSWORT}", "clave primaria: id",
    '"MDPLOT", "M3MM"', "sandisk: 64GB", "geheimnisvoll = 12x",
)  # fmt: skip


@pytest.mark.parametrize("said", SPOKEN)
def test_a_password_is_one_in_any_language(said: str) -> None:
    assert "Sommer" not in redact(f"ok\n{said.format('Sommer#42')}\nok")


@pytest.mark.parametrize("said", UNSPOKEN)
def test_what_is_about_a_password_stays_in_any_language(said: str) -> None:
    assert redact(said) == said


@pytest.mark.parametrize("name", ["密码", "contraseña", "Kennwort", "пароль", "nexusPass", "dbPw"])
def test_a_member_is_named_so_in_any_language(name: str) -> None:
    for text in (
        json.dumps({name: "Sommer 42"}),
        json.dumps({"x": json.dumps({name: "Sommer#42"})}),
    ):
        assert "Sommer" not in redact_json(text.encode())


ENCODED = (
    "%7B%22password%22%3A%22hunter2a%22%7D",
    "next=%2Flogin%3Fpassword%3Dhunter2a%26x%3D1",
    "{&quot;password&quot;:&quot;hunter2a&quot;}",
    r'{"\u5bc6\u7801": "hunter2a"}\nnext',
    "a%253D%2526password%253Dhunter2a",
    r"{\u0022password\u0022:\u0022hunter2a\u0022}",
)


@pytest.mark.parametrize("text", ENCODED)
def test_what_is_encoded_is_read_as_what_it_stands_for(text: str) -> None:
    assert "hunter2a" not in redact(text)


@pytest.mark.parametrize("layer", ["%25", "&amp;", "\\\\"])
def test_what_was_encoded_a_thousand_times_is_decoded_a_few(layer: str) -> None:
    """A text that decodes to one that decodes, and so on, takes neither the stack nor the time."""
    text = f"%3D &quot; \\u0022 a{layer * 5000}3D{layer[1:] * 5000}quot; {layer * 5000}u0022"
    assert redact(f"{text} password=hunter2a").endswith("password=[redacted]")


PLAIN_ONCE_DECODED = ("a%3Fb%3D1", "&quot;x&quot; &amp; y", "100% of 20% %3D")


@pytest.mark.parametrize("text", PLAIN_ONCE_DECODED)
def test_what_is_encoded_and_no_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


PEM_LINE = "aB3+" * 16


@pytest.mark.parametrize("before", ["", "id_rsa:12:", "2024-01-01T00:00:00Z web-1 | ", "+ ", "> "])
def test_a_key_is_seen_behind_what_stands_before_each_line(before: str) -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", *[PEM_LINE] * 6, "-----END RSA PRIVATE KEY-----"]
    assert PEM_LINE[:24] not in redact("\n".join(before + line for line in key))


def test_the_middle_of_a_key_is_seen_and_digests_are_none() -> None:
    assert PEM_LINE not in redact(f"{PEM_LINE}\n" * 3)
    digests = f"{'0a1b2c3d' * 8}\n" * 3
    assert redact(digests) == digests


@pytest.mark.parametrize("rest", ["A1b2_C3d4-E5f6", "-A1b2C3d4E5f6"])
def test_no_part_of_a_token_is_left_behind_it(rest: str) -> None:
    """A token of a vendor may go on in letters that its format does not name."""
    for begin in ("sk-ant-api03-", "sk-proj-", "sk-zz-", "ghp_", "npm_"):
        assert rest[-8:] not in redact(f"x {begin}{'Ab3' * 13}{rest} y")
