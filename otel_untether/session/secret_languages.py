"""Passwords that are called so in another language than English.

>>> hide_told("Das Kennwort lautet Sommer#42 und gilt bis Montag; 密码: Sommer#42")
'Das Kennwort lautet [redacted] und gilt bis Montag; 密码: [redacted]'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily
from otel_untether.session.secret_values import says_nothing

if TYPE_CHECKING:
    import re

# In lower case; what is told by the same letters in English needs no entry.
WORDS: Final = (
    r"kennw[oö]rt(?:er)?|passw[oö]rt(?:er)?|zugangs(?:daten|schl[uü]ssel|code)|geheimnis|schl"
    r"[uü]sselwort"
    r"|contrase[nñ]as?|palabra clave|clave (?:secreta|privada|de acceso)|clave"
    r"|mots? de passe|motdepasse|mdp|cl[eé] (?:secr[eè]te|priv[eé]e|d'acc[eè]s)"
    r"|token d[ei] acc?es[so]o?|jeton(?: d'acc[eè]s)?|senhas?|palavra-passe|chave (?:secreta"
    r"|privada)"
    r"|parola(?: d'ordine)?|chiave (?:segreta|privata)|wachtwoord(?:en)?|geheim"
    r"|l[oö]senord(?:et)?|adgangskoden?|passord(?:et)?|kodeord|salasanat?|lykilor[dð]"
    r"|has[lł]o|heslo|jelsz[oó]|parol[aeă]?|lozinka|geslo|zaporka|[sş]ifre(?:si)?|m[aậ]t kh[aẩ]u"
    r"|kata sandi|sandi|парол(?:ь|я|и|ю)|ключ(?: доступа)?|секрет|токен|密[码碼钥鑰]|口令"
    r"|令牌|暗証番号|暗号|パスワード|パスフレーズ|秘密鍵|トークン|비밀번호|암호|토큰"
    r"|كلمة (?:المرور|السر)|סיסמ[הא]"
    r"|κωδικός|รหัสผ่าน|पासवर्ड"
)
_IS: Final = (
    r"(?:[ ]?(?:ist|lautet|est|es|è|é|är|er|on|to|jest|is|było|было)[ :]{1,2}|[ ]?[是は는은为為]"
    r"[ \uff1a:]{0,2}|[ ]?[:=\uff1a\uff1d]{1,2}[ ]{0,2}|[\"'`][ ]{0,2}(?:=>|[:=,])[ ]{0,2})"
)
_ENDING: Final = r"(?:[_-]\w{1,12}|[^\W\x00-\x7f]{0,6})(?![a-z])"
_TOLD: Final = lazily(
    rf"(?i)((?:(?<![a-z])|(?<=api)|(?<=db))(?:{WORDS}){_ENDING}"
    rf"(?:[ ](?!{_IS})[^\s:=\uff1a]{{1,20}}){{0,3}}?{_IS}"
    r"[\"'`«「“]?)([^\s\"'`«»「」“”,;\uff0c。\uff1b<>]{3,256})"
)
_NAME: Final = lazily(rf"(?:.{{0,24}}[_. -])?(?:{WORDS})|(?:api|db|app)?(?:密[码碼钥鑰])")
_DIGIT: Final = lazily(r"[0-9!#$%^&*+=]")
_ASCII_HINTS: Final = (
    "wort", "zugang", "geheim", "contrase", "clave", "pass", "mdp", "senha", "chave", "parol",
    "chiave", "wachtw", "adgang", "kodeord", "salasan", "haslo", "heslo", "jelszo", "lozinka",
    "geslo", "zaporka", "sifre", "mat kh", "sandi", "jeton", "token d", "losenord", "lykil",
)  # fmt: skip
_LATIN: Final = lazily(r"[A-Za-z0-9!#$%^&*+=_@./~-]+")


def names_password(name: str) -> bool:
    """Tell whether `name`, in lower case, is such a word."""
    return _NAME.fullmatch(name) is not None


def hide_told(text: str) -> str:
    """Replace what stands behind such a word and what parts it from its value."""
    if text.isascii():
        lower = text.lower()
        if not any(hint in lower for hint in _ASCII_HINTS):
            return text
    return _TOLD.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    value = found[2]
    # Of a sentence in Chinese or Japanese, which has no blanks, the password ends it.
    latin = None if value.isascii() else _LATIN.match(value)
    secret = latin[0] if latin else value
    if says_nothing(secret) or not (_DIGIT.search(secret) or found[1][-1] in "\"'`"):
        return found[0]
    return f"{found[1]}[redacted]{value[len(secret) :]}"
