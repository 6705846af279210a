"""Secrets as commands really print them, each made up on the spot from a seed.

`planted()` yields more than three hundred of them: a text, and the part of it that must not
leave. Nothing here is a key of anybody's; the keys are put together from pieces, so that no
scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Planted:
    """A text that shows a secret; `parts` are what nobody may see, `command` if it is one."""

    title: str
    text: str
    parts: tuple[str, ...]
    command: bool = False


class _Chance:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, alphabet: str, size: int) -> str:
        return "".join(self._random.choices(alphabet, k=size))

    def letters(self, size: int) -> str:
        return self.of(_LETTERS, size)

    def hex(self, size: int) -> str:
        return self.of("0123456789abcdef", size)

    def upper(self, size: int) -> str:
        return self.of(string.ascii_uppercase + "234567", size)

    def base64(self, size: int) -> str:
        return base64.b64encode(self._random.randbytes(size)).decode()

    def base64url(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")


def planted(seed: int = 1) -> Iterator[Planted]:
    """Yield every secret in every place, the same ones for the same seed."""
    chance = _Chance(seed)
    yield from _keys(chance)
    yield from _passwords(chance)
    yield from _files(chance)
    yield from _commands(chance)
    yield from _blocks(chance)


def key_formats(chance: _Chance) -> dict[str, str]:
    """Return a key of each vendor, by the vendor's own description of it."""
    c = chance
    return {
        "anthropic": f"sk-ant-api03-{c.base64url(69)}-{c.letters(6)}AA",
        "openai project": f"sk-proj-{c.base64url(110)}",
        "openai": f"sk-{c.letters(20)}T3BlbkFJ{c.letters(20)}",
        "deepseek": f"sk-{c.hex(32)}",
        "openrouter": f"sk-or-v1-{c.hex(64)}",
        "github": f"ghp_{c.letters(36)}",
        "github app": f"ghs_{c.letters(36)}",
        "github oauth": f"gho_{c.letters(36)}",
        "github fine": f"github_pat_{c.letters(22)}_{c.letters(59)}",
        "gitlab": f"glpat-{c.base64url(15)}",
        "gitlab ci": f"glptt-{c.hex(40)}",
        "slack bot": f"xoxb-{c.of('0123456789', 12)}-{c.of('0123456789', 13)}-{c.letters(24)}",
        "slack app": f"xapp-1-A{c.upper(10)}-{c.of('0123456789', 13)}-{c.hex(64)}",
        "slack hook": f"https://hooks.slack.com/services/T{c.upper(8)}/B{c.upper(10)}/{c.letters(24)}",
        "aws id": f"AKIA{c.upper(16)}",
        "aws session id": f"ASIA{c.upper(16)}",
        "google api": f"AIza{c.base64url(27)[:35]}",
        "google client": f"GOCSPX-{c.base64url(21)}",
        "google access": f"ya29.{c.base64url(90)}",
        "stripe": f"sk_live_{c.letters(24)}",
        "stripe restricted": f"rk_live_{c.letters(32)}",
        "stripe hook": f"whsec_{c.base64(24)}",
        "npm": f"npm_{c.letters(36)}",
        "pypi": f"pypi-AgEIcHlwaS5vcmc{c.base64url(70)}",
        "hugging face": f"hf_{c.of(string.ascii_letters, 34)}",
        "sendgrid": f"SG.{c.base64url(16)}.{c.base64url(32)}",
        "vault": f"hvs.{c.base64url(70)}",
        "digitalocean": f"dop_v1_{c.hex(64)}",
        "databricks": f"dapi{c.hex(32)}",
        "shopify": f"shpat_{c.hex(32)}",
        "groq": f"gsk_{c.letters(52)}",
        "xai": f"xai-{c.letters(80)}",
        "replicate": f"r8_{c.letters(37)}",
        "perplexity": f"pplx-{c.letters(48)}",
        "linear": f"lin_api_{c.letters(40)}",
        "grafana": f"glsa_{c.letters(32)}_{c.hex(8)}",
        "twilio": f"SK{c.hex(32)}",
        "telegram": f"{c.of('123456789', 10)}:AA{c.base64url(24)[:33]}",
        "discord": f"M{c.letters(23)}.{c.letters(6)}.{c.base64url(28)[:38]}",
        "jwt": ".".join((
            base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("="),
            base64.urlsafe_b64encode(b'{"sub":"1234567890","name":"x"}').decode().rstrip("="),
            c.base64url(32),
        )),
        "docker": f"dckr_pat_{c.base64url(20)}",
        "newrelic": f"NRAK-{c.upper(27)}",
        "postman": f"PMAK-{c.hex(24)}-{c.hex(34)}",
        "notion": f"ntn_{c.letters(46)}",
        "age": f"AGE-SECRET-KEY-1{c.of('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}",
        "tailscale": f"tskey-auth-{c.letters(12)}-{c.letters(32)}",
        "mailgun": f"key-{c.hex(32)}",
        "mailchimp": f"{c.hex(32)}-us14",
        "figma": f"figd_{c.base64url(30)}",
        "atlassian": f"ATATT3xFfGF0{c.base64url(120)}",
        "supabase": f"sbp_{c.hex(40)}",
        "sentry": f"sntryu_{c.hex(64)}",
        "azure ad": f"{c.letters(3)}8Q~{c.letters(34)}",
        "cloudflare origin": f"v1.0-{c.hex(24)}-{c.hex(146)}",
        "dynatrace": f"dt0c01.{c.upper(24)}.{c.upper(64)}",
        "pulumi": f"pul-{c.hex(40)}",
        "planetscale": f"pscale_tkn_{c.base64url(32)}",
        "rubygems": f"rubygems_{c.hex(48)}",
        "nvidia": f"nvapi-{c.base64url(48)}",
        "langsmith": f"lsv2_pt_{c.hex(32)}_{c.hex(10)}",
    }  # fmt: skip


_PLACES: Final[dict[str, Callable[[str], str]]] = {
    "alone": lambda key: key,
    "a line's start": lambda key: f"first line\n{key}\nlast line\n",
    "quoted": lambda key: f'The client was made with "{key}", which works.',
    "colours": lambda key: f"found: \x1b[01;31m\x1b[K{key[:6]}\x1b[m\x1b[K{key[6:]}",
}


def _keys(chance: _Chance) -> Iterator[Planted]:
    for place, put in _PLACES.items():
        for vendor, key in key_formats(chance).items():
            hidden = key[-12:] if "slack.com" in key else key[8:24]
            yield Planted(f"{vendor}, {place}", put(key), (hidden,))


def _passwords(chance: _Chance) -> Iterator[Planted]:
    """Yield made-up passwords, whole sentences among them, under their names."""

    def word() -> str:
        return chance.letters(5) + chance.of("!%^*_-", 1) + chance.letters(6)

    for name, template in {
        "env": "DB_PASSWORD={}",
        "export": "export ADMIN_PASS={}",
        "env quoted": 'SECRET_KEY="{}"',
        "env single": "SESSION_SECRET='{}'",
        "env lines": "A=1\nREDIS_PASSWORD={}\nB=2",
        "env comment": "SMTP_PASSWORD={} # of the relay",
        "mysql pwd": "MYSQL_PWD={}",
        "pgpassword": "PGPASSWORD={} psql -h db",
        "json": '{{"password": "{}"}}',
        "json spaced": '{{\n  "user": "bob",\n  "password" : "{}"\n}}',
        "json camel": '{{"clientSecret":"{}","id":1}}',
        "json in json": '{{"body": "{{\\"passphrase\\": \\"{}\\"}}"}}',
        "python dict": "{{'api_key': '{}', 'n': 1}}",
        "python": 'password = "{}"',
        "python annotated": 'api_key: str = "{}"',
        "typescript": "const apiKey: string = '{}';",
        "go": 'token := "{}"',
        "ruby": ":password => '{}'",
        "php": "define('DB_PASSWORD', '{}');",
        "php array": "'password' => '{}',",
        "java properties": "spring.datasource.password={}",
        "yaml": "db:\n  password: {}\n  port: 5432",
        "yaml quoted": "token: '{}'",
        "yaml list": "- name: DB_PASSWORD\n  value: {}",
        "toml": '[registry]\ntoken = "{}"',
        "ini": "[mysql]\nuser = root\npassword = {}",
        "xml": "<password>{}</password>",
        "xml attribute": '<add key="ApiKey" value="{}"/>',
        "xml attributed": '<property name="password">{}</property>',
        "netrc": "machine example.org login bob password {}",
        "netrc lines": "machine example.org\n  login bob\n  password {}",
        "pgpass": "db.example.org:5432:shop:bob:{}",
        "redis.conf": "requirepass {}",
        "dockerfile": "ENV DB_PASSWORD {}",
        "ado": "Server=db;Database=x;User Id=sa;Password={};Encrypt=true",
        "odbc": "DRIVER={{x}};SERVER=h;UID=sa;PWD={}",
        "url": "postgres://bob:{}@db.example.org:5432/shop",
        "url without user": "redis://:{}@cache:6379/0",
        "url token": "https://{}@example.org/repo.git",
        "url in git": "remote: https://oauth2:{}@example.org/a/b.git (fetch)",
        "query": "GET /api?user=bob&access_token={}&page=2 HTTP/1.1",
        "query key": "https://maps.example.org/x?key={}",
        "header": "> X-Api-Key: {}",
        "header auth": "Authorization: Bearer {}",
        "header token": "authorization: token {}",
        "cookie": "Cookie: theme=dark; session={}; lang=en",
        "set-cookie": "Set-Cookie: sid={}; Path=/; HttpOnly",
        "log": "2024-05-01T10:00:00Z INFO login user=bob password={} ok",
        "sentence": "The password is {}9.",
        "npmrc": "//registry.npmjs.org/:_authToken={}",
        "hcl": 'variable "x" {{\n  db_password = "{}"\n}}',
        "terraform": '+ master_password = "{}"',
        "kubeconfig": "users:\n- name: x\n  user:\n    token: {}",
        "line numbers": "     7\tJWT_SECRET={}\n     8\tPORT=80",
        "grep": "config/.env:12:JWT_SECRET={}",
        "diff": "-API_TOKEN=\n+API_TOKEN={}",
        "sql": "CREATE USER bob IDENTIFIED BY '{}';",
        "sql pg": "ALTER ROLE bob WITH PASSWORD '{}';",
        "table": "| password | {} |".replace("| {}", "= {}"),
        "camel colon": "dbPassword: {}",
        "escaped": 'DB_PASSWORD=\\"{}\\"',
        "escaped lines": "A=1\\nDB_PASSWORD={}\\nB=2",
        "secret id": "VAULT_SECRET_ID={}",
        "encryption key": "ENCRYPTION_KEY={}",
    }.items():
        for kind in ("password", "random"):
            secret = word() if kind == "password" else chance.letters(32)
            yield Planted(f"{name}, {kind}", template.format(secret), (secret,))
    for name, text in {
        "env with blanks": "DB_PASSWORD=correct horse 42 staple",
        "yaml with blanks": "password: correct horse 42 staple",
        "quoted with blanks": 'password = "correct horse 42 staple"',
        "json with blanks": '{"password": "correct horse 42 staple"}',
    }.items():
        yield Planted(name, text, ("horse 42", "staple"))
    for name, text in {
        "comma": "PASSWORD=ab1,cd2;ef3&gh4",
        "at signs": "postgres://bob:ab1@cd2@ef3,gh4@db/shop",
        "slash": "amqp://bob:ab1/cd2/gh4@mq:5672",
        "quote in quotes": '{"password": "ab1\\"cd2\\"gh4"}',
        "dollar": "password: 'ab1$cd2$gh4'",
    }.items():
        yield Planted(name, text, ("cd2", "gh4"))


def _files(chance: _Chance) -> Iterator[Planted]:
    """Yield files that tools keep in people's homes."""
    secret, key = chance.base64(30), chance.upper(16)
    yield Planted(
        "aws credentials",
        f"[default]\naws_access_key_id = AKIA{key}\naws_secret_access_key = {secret}\n",
        (key, secret),
    )
    yield Planted("aws csv", f"Access key ID,Secret access key\nAKIA{key},{secret}", (key, secret))
    yield Planted(
        "aws json",
        json.dumps({"AccessKeyId": f"AKIA{key}", "SecretAccessKey": secret}),
        (key, secret),
    )
    login = base64.b64encode(f"bob:{chance.letters(10)}".encode()).decode()
    yield Planted(
        "docker config", json.dumps({"auths": {"x": {"auth": login}}}, indent=1), (login,)
    )
    yield Planted("npm auth", f"_auth={login}", (login,))
    yield Planted("basic", f"Authorization: Basic {login}", (login,))
    data = base64.b64encode(chance.letters(20).encode()).decode()
    yield Planted(
        "kubernetes secret",
        f"apiVersion: v1\nkind: Secret\ndata:\n  username-of-db: {data}\n",
        (data,),
    )
    yield Planted(
        "kubernetes secret, JSON",
        json.dumps({"kind": "Secret", "data": {"whatever": data}}),
        (data,),
    )
    value = chance.letters(14)
    yield Planted(
        "kubernetes env",
        json.dumps({"env": [{"name": "DB_PASSWORD", "value": value}]}, indent=2),
        (value,),
    )
    yield Planted("docker inspect", json.dumps({"Env": [f"DB_PASS={value}", "A=b"]}), (value,))
    yield Planted(
        "service account",
        json.dumps({"type": "service_account", "private_key": pem(chance, "PRIVATE KEY")}),
        ("MII",),
    )
    number = chance.base64url(32)
    yield Planted("jwk", json.dumps({"kty": "EC", "crv": "P-256", "d": number}), (number,))
    crypt = f"$6${chance.letters(12)}${chance.letters(86)}"
    yield Planted("shadow", f"root:{crypt}:19000:0:::", (crypt,))
    yield Planted("htpasswd file", f"bob:$2y$10${chance.letters(53)}", ("$2y$",))
    yield Planted("kubeconfig data", f"client-key-data: {chance.base64(60)}", ())
    azure = chance.base64(64)
    yield Planted(
        "azure storage",
        f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={azure};EndpointSuffix=core",
        (azure[:60],),
    )
    signature = chance.base64(32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    blob = "https://x.blob.core.windows.net/c?sv=2022-11-02"
    yield Planted("azure sas", f"{blob}&sig={signature}", (signature,))
    yield Planted(
        "aws presigned",
        f"https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={chance.hex(64)}&x=1",
        (),
    )


def _commands(chance: _Chance) -> Iterator[Planted]:
    for name, template in {
        "curl -u": "curl -sS -u admin:{} https://example.org/x",
        "curl --user": "curl --user 'admin:{}' https://example.org/x",
        "curl -H": "curl -H 'Authorization: Bearer {}' https://example.org",
        "curl -H key": 'curl -H "X-Api-Key: {}" https://example.org',
        "curl -d": 'curl -d \'{{"password":"{}"}}\' https://example.org',
        "curl form": "curl -F password={} https://example.org",
        "sshpass": "sshpass -p {} ssh bob@host",
        "sshpass quoted": "sshpass -p '{}' ssh bob@host",
        "mysql": "mysql -u root -p{} shop",
        "mysqldump": "mysqldump --password={} shop > x.sql",
        "psql": "PGPASSWORD={} psql -h db -U bob",
        "psql url": "psql postgresql://bob:{}@db/shop -c 'select 1'",
        "redis": "redis-cli -h cache -a {} ping",
        "docker login": "docker login -u bob -p {} registry.example.org",
        "docker stdin": "echo {} | docker login -u bob --password-stdin",
        "sudo": "echo {} | sudo -S apt-get update",
        "chpasswd": "echo 'bob:{}' | chpasswd",
        "option": "deploy --token {} --region eu",
        "option equals": "deploy --api-key={} --region eu",
        "option quoted": 'deploy --password "{}" --region eu',
        "export": "export OPENAI_API_KEY={} && make",
        "prefix": "SECRET_TOKEN={} ./run.sh",
        "git clone": "git clone https://x-access-token:{}@github.com/a/b",
        "openssl": "openssl pkcs12 -in x.p12 -passin pass:{} -nodes",
        "aws configure": "aws configure set aws_secret_access_key {}",
        "npm config": "npm config set //registry.npmjs.org/:_authToken {}",
        "ldap": "ldapsearch -x -D cn=admin -w {} -b dc=x",
        "smb": "smbclient //host/share -U bob%{}",
        "zip": "zip -P {} x.zip file",
        "wget": "wget --http-password={} https://example.org",
        "docker -e": "docker run -e POSTGRES_PASSWORD={} postgres",
        "kubectl": "kubectl create secret generic x --from-literal=password={}",
        "htpasswd": "htpasswd -bc .htpasswd bob {}",
        "gpg": "gpg --batch --passphrase {} -d x.gpg",
        "set": "setx DB_PASSWORD {}".replace("setx ", "set ").replace("D {", "D={"),
        "here": "cat > .env <<EOF\nDB_PASSWORD={}\nEOF",
    }.items():
        secret = chance.letters(14)
        yield Planted(name, template.format(secret), (secret,), command=True)


def pem(chance: _Chance, kind: str, lines: int = 12) -> str:
    """Return a private key in its armour."""
    body = "MII" + chance.base64(48 * lines)[3:]
    rows = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join((f"-----BEGIN {kind}-----", *rows, f"-----END {kind}-----", ""))


def _blocks(chance: _Chance) -> Iterator[Planted]:
    for kind in (
        "RSA PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ):
        text = pem(chance, kind)
        rows = text.split("\n")
        inner = (rows[1][5:30], rows[6][:30], rows[12][:30])
        yield Planted(f"{kind}", f"$ cat key\n{text}$ ", inner)
        yield Planted(f"{kind}, escaped", json.dumps(text), inner)
        numbered = "\n".join(f"{i:6}\t{row}" for i, row in enumerate(rows, 1))
        yield Planted(f"{kind}, numbered", numbered, inner)
        yield Planted(f"{kind}, indented", "key: |\n  " + text.replace("\n", "\n  "), inner)
        yield Planted(f"{kind}, head", "\n".join(rows[:5]), (rows[1][5:30], rows[4][:30]))
        yield Planted(f"{kind}, tail", "\n".join(rows[-5:]), (rows[-4][:30],))
        yield Planted(f"{kind}, diff", "\n".join(f"+{row}" for row in rows), inner)
    putty = "\n".join(chance.base64(48) for _ in range(4))
    yield Planted(
        "putty",
        f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 4\n{putty}\nPrivate-MAC: {chance.hex(64)}",
        tuple(putty.split("\n")),
    )
    yield Planted(
        "wireguard", f"[Interface]\nPrivateKey = {(key := chance.base64(32))}\nPort = 1", (key,)
    )
