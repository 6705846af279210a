"""Where command lines, configuration files and code show a secret that is given by its place.

The third table: no vendor's and no program's own words but ways that many of them share, as an
option of a user that one of a password follows.
"""

# Without annotations from __future__: named tuples are made of real ones in half the time.
from typing import Final, NamedTuple

from otel_untether.session.secret_patterns import Option


class Way(NamedTuple):
    """A way to show a secret, with one of `hints`, lower case, always; the first group stays."""

    name: str
    hints: tuple[str, ...]
    expression: str
    secret: str
    innocent: str


_REST: Final = r"[^\s\"'`;|)]{1,256}"
# A digit or a sign is in it; a port, a version or an address is none.
_TYPED: Final = (
    r"(?=[^\s\"'`]{0,60}[0-9!@#$%^&*+=])(?![0-9:.,/-]{1,40}(?:[\s\"')]|\Z))"
    r"[^\s\"'`$<>|;(){}/@-][^\s\"'`<>|;]{4,256}"
)
_PLAIN: Final = (
    r"(?=[^\s\"'`]{0,60}[0-9])(?=[^\s\"'`]{0,60}[A-Za-z])[^\s\"'`$<>|;(){}/@.:\\-][^\s\"'`<>"
    r"|;/@.:\\]{6,256}"
)
_WORD: Final = r"(?:pass(?:word|wd|phrase|code|[ ]phrase)|secret|token|api[ -]?key|authtok|psk|pw)"
_LITERAL: Final = r"b?[\"'][^\"'\n]{0,200}[\"']"
_TEXT: Final = r"[^\"'\n]{3,256}"

SPOKEN: Final[tuple[Way, ...]] = (
    Way(
        "user, then password",
        (" -u", " --user", " -user", " -l ", " --login", " /u", " -xu"),
        r"(?i)([ \t](?:-x?u|--?user(?:name)?|--login|-l|-U|/u)[ \t=:]{1,3}[^\s]{1,100}[ \t]{1,4}"
        r"(?:--?[\w-]{1,20}(?:[ =][^\s-][^\s]{0,60})?[ ]{1,4}){0,3}?"
        rf"(?:-x?p|-pw|/p|/pass(?:word)?)[ \t=:]{{1,3}}[\"']?){_TYPED}",
        "anyctl login -u bob -p {12}9",
        "ssh -l bob -p 2222 host",
    ),
    Way(
        "Windows' options",
        ("/p:", "/pass"),
        rf"(?i)([ \t]/p(?:ass(?:word)?)?:[\"']?){_TYPED}",
        "xfreerdp /u:bob /p:{12}9 /v:h",
        "dir /p",
    ),
    Way(
        "an account's password",
        ("net user", "runas", "add_user", "create_user", "user:password", "passwd -b"),
        r"(?i)(\b(?:net[ ]user[ ][\w.-]{1,64}|runas[ ]/user:\S{1,64}|add_user[ ]\S{1,64}"
        r"|create_user[ ]\S{1,64}|user:password[ ]\S{1,64}|passwd[ ]-b[ ]\S{1,64}[ ]\S{1,64})"
        rf"[ ][\"']?){_TYPED}",
        "net user bob {12}9 /add",
        "net user bob /delete",
    ),
    Way(
        "logged in with",
        (
            "login ",
            "auth ",
            "unlock ",
            "unseal ",
            "authtoken ",
            "obscure ",
            "passphrase ",
            "upwd ",
            "passwd ",
            "password ",
        ),
        r"(?i)(\b(?:login|auth|unlock|unseal|authtoken|obscure|walletpassphrase|upwd"
        r"|(?:set|reset|change|set-initial|reset-admin|mosquitto)[_-]passw(?:or)?d)[ ]{1,4}"
        rf"(?:[\w@.+-]{{1,64}}[ ]{{1,4}}){{0,2}}[\"']?(?<![ ][fF]or[ ])){_PLAIN}(?=[\"']?(?:[ ]"
        rf"|\s|\Z))",
        "anyctl login {12}9",
        "anyctl login example.org",
    ),
    Way(
        "logged in with a password",
        ("passwd ", "password ", "upwd "),
        r"(?i)(\b(?:(?:set|reset|change|set-initial|reset-admin)[_-]passw(?:or)?d|upwd)[ ]{1,4}"
        rf"(?:[\w@.+-]{{1,64}}[ ]{{1,4}}){{0,2}}[\"']?){_TYPED}",
        "anyctl reset-password bob {12}9",
        "anyctl reset-password --help",
    ),
    Way(
        "here string",
        ("<<<",),
        r"(?i)((?:secret|token|passw|passphrase|login|auth|key|cred|crypt|kinit|vault|env[ ]add"
        r"|\bpass[ ])[^\n<;]{0,120}<<<[ ]{0,2}[\"']?(?:[\w.-]{1,32}:)?)[^\s\"'$<][^\s\"'|;]{2,256}",
        "anyctl secret put X <<< {12}",
        "grep x <<< {12}",
    ),
    Way(
        "process substitution",
        ("<(",),
        r"(?i)((?:pass|secret|token|key|auth)[^\n<;]{0,60}<\([ ]?(?:echo|printf)[ ](?:-\w{1,2}[ ])?"
        r"[\"']?(?:[\w.-]{1,32}\\n)?)[^\s\"'$)][^\s\"')]{2,256}",
        "rsync --password-file=<(echo {12}) a b",
        "diff <(echo a) b",
    ),
    Way(
        "piped into a login",
        ("| ",),
        r"(?i)(\b(?:echo|printf)[ \t]{1,4}(?:-\w{1,2}[ \t]{1,4})?[\"']?)[^\s\"'|$;&]{3,200}"
        r"(?=[\"']?[ \t]{0,4}\|[^\n|]{0,80}(?:stdin|login|secret|passw|with-|api-key|unlock))",
        "echo {12} | anyctl login --with-key",
        "echo ok | cat",
    ),
    Way(
        "set by name",
        (
            "env:set",
            "env set",
            "variable set",
            "variables set",
            "kv put",
            "etcdctl put",
            "secrets set",
            "config set",
            "set-item",
            "keys set",
        ),
        r"(?i)(\b(?:env:set|env[ ]set|variables?[ ]set|kv[ ]put|etcdctl[ ]put|user-secrets[ ]set"
        r"|config[ ]set(?:[ ]--\w{1,12}){0,3}|set-item|keys[ ]set[ ]\S{1,32}[ ]--value)[ ]{1,4}"
        rf"(?:[\"']?[\w:./-]{{1,100}}[\"']?[ ]{{1,4}})?[\"']?)(?!--){_TYPED}",
        "anyctl env:set X {12}9",
        "anyctl env:set X --help",
    ),
    Way(
        "named, then a blank",
        ("pass", "secret", "token", "api", "authtok", "psk", "pw"),
        rf"(?im)(^[ \t;+>-]{{0,12}}(?:[\w/.-]{{1,32}}[ \t]{{1,8}}){{0,4}}?[\w.-]{{0,40}}{_WORD}"
        rf"[ \t]{{1,8}}"
        rf"[\"']?){_TYPED}(?=[\"']?;?[ \t\r]{{0,8}}$)",
        "bindpw {12}9",
        "bindpw is missing",
    ),
    Way(
        "setx for all",
        ("setx",),
        rf"(?i)(\bsetx[ ]/m[ ][A-Z0-9_]{{1,64}}[ ][\"']?){_TYPED}",
        "setx /M API_TOKEN {12}9",
        "setx /M PATH",
    ),
    Way(
        "a header's value",
        ('-h "x-', "-h 'x-", "--header"),
        rf"(?i)((?:-H|--header)[ =][\"']X-[\w-]{{0,32}}(?:key|auth|token|secret)[\w-]{{0,16}}:"
        rf"[ ]?){_TYPED}",
        "anyctl add x --header 'X-Key: {12}9'",
        "anyctl add x --header 'X-Page: 12'",
    ),
    Way(
        "cookies on a command line",
        (" -b ", " --cookie"),
        r"(?i)([ ](?:-b|--cookie)[ =][\"'][\w.-]{1,64}=)[^\s\"';]{6,512}",
        "curl -b 'session={12}' https://example.org",
        "curl -b cookies.txt https://example.org",
    ),
    Way(
        "an option's own word",
        (" --auth",),
        rf"(?i)([ ]--auth(?:key|-key)?[ =][\"']?){_TYPED}",
        "anyctl deploy --auth {12}9",
        "anyctl deploy --auth none",
    ),
    Way(
        "set to, changed from",
        ("password ", "passwd ", "passcode ", "phrase "),
        r"(?i)(\bpass(?:word|wd|code|phrase|[ ]phrase)[ ](?:(?:was[ ])?(?:changed|set|reset)[ ]"
        rf"(?:from|to)|is:?|=|to)[ ]{{1,2}}[\"'`]?){_TYPED}",
        "root password set to {12}9",
        "password set to expire",
    ),
    Way(
        "user and password, parted by a comma",
        (", pass",),
        rf"(?i)(\buser(?:name)?[ :=][^\s,]{{1,64}},[ ]pass(?:word|wd)?[ ]){_TYPED}",
        "username bob, password {12}9",
        "username bob, password reset",
    ),
    Way(
        "u: and p:",
        (" p:", " pass:"),
        rf"(?i)(\bu(?:ser)?:[ ]?[^\s]{{1,64}}[ ,;/]{{1,3}}p(?:ass)?:[ ]?){_TYPED}",
        "u: bob p: {12}9",
        "u: bob p: 12",
    ),
    Way(
        "a code that is sent",
        ("code is", "code was", "code:"),
        r"(?i)(\b(?:one[- ]time|verification|security|2fa|mfa|otp|login|auth\w{0,12})[ -]?"
        r"(?:pass)?code"
        r"(?:[ ](?:is|was)|:)[ ]{1,2})[0-9][0-9 -]{3,9}",
        "Your one-time code is 116863",
        "The status code is 404",
    ),
    Way(
        "recovery codes",
        ("code",),
        r"(?i)(\b(?:recovery|backup|scratch)[ _-]?codes?[^\n\w]{0,8}\n)"
        r"(?:[ \t]{0,8}(?:[0-9]{1,2}[.)][ ])?[\w-]{6,40}(?:[ ]{1,8}[\w-]{6,40})?[ \t\r]*(?:\n"
        r"|\Z)){1,20}",
        "Recovery codes:\n  {5}-{5}\n  {5}-{5}\n",
        "Recovery codes were sent",
    ),
    Way(
        "use it as the password",
        (" as ",),
        rf"(?i)(\buse[ ][\"'`]?){_TYPED}(?=[\"'`]?[ ]as[ ](?:(?:the|your|a)[ ])?"
        r"(?:[a-z]{1,12}[ ])?(?:password|passphrase|token|secret|api[ ]key))",
        "Use {12}9 as the password",
        "Use it as the password",
    ),
    Way(
        "secret key is",
        ("key:", "key is", "key 1", "key 2", "key 3", "key 4", "key 5"),
        r"(?i)(\b(?:secret|private|api|unseal|setup|access)[ ]key(?:[ ][0-9]{1,2})?(?:[ ]is)?:"
        r"[ ]{1,4})"
        r"[^\s\"'`]{8,256}",
        "Your secret key is: {32}",
        "The secret key is: unknown",
    ),
    Way(
        "private key of a wallet",
        ("0x",),
        r"(?i)((?:private[ _-]?keys?|\w{0,32}_?pk|priv\w{0,12}|wallet|signer|deployer|accounts)"
        r"[\"']{0,2}[\s=:\[(\"']{1,60}(?:\(0\)[ ])?)(?:0x)[0-9a-f]{38,64}(?![0-9a-f])",
        "DEPLOYER_PK=0x" + "0a" * 32,
        "transaction 0x" + "0a" * 32,
    ),
    Way(
        "words of a wallet",
        ("wallet", "mnemonic", "phrase", "write this", "write these"),
        r"(?i)((?:wallet|mnemonic|(?:seed|recovery|backup)[ ]phrase|write[ ](?:this|these)[ ]down)"
        r"[^\n]{0,60}[:\n]{1,3}[ ]{0,4}[\"'`]?)(?:[a-z]{3,8}[ ]){11,23}[a-z]{3,8}(?![a-z ])",
        "Your wallet. Write this down:\n" + "able " * 11 + "zoo",
        "Your wallet is open. Go on.",
    ),
    Way(
        "random part of a path",
        (
            "hook",
            "/reset",
            "/invit",
            "/magic",
            "/verify",
            "/confirm",
            "/key/",
            "/token/",
            "/trigger/",
        ),
        r"(?i)(/(?:webhooks?|hooks?|reset[\w-]{0,20}|invit(?:e|ation)s?|magic[\w-]{0,12}|verify"
        r"|confirm"
        r"|key|token|trigger)/)(?=[\w-]{0,60}[0-9])(?=[\w-]{0,60}[a-z])[A-Za-z0-9_-]{20,512}",
        "https://example.org/webhook/{12}9{12}",
        "https://example.org/hooks/pre-commit",
    ),
    Way(
        "address of a hook",
        ("hc-ping", "make.com/", "webhook.site", "hooks."),
        r"(?i)(\b(?:hc-ping\.com|hook\.[\w.]{2,12}\.?make\.com|webhook\.site|hooks\.[\w.-]{3,40})/)"
        r"[\w/-]{20,200}",
        "https://hc-ping.com/{36}",
        "https://hc-ping.com/",
    ),
    Way(
        "cookie jar",
        ("\ttrue\t", "\tfalse\t"),
        r"(?m)(^[^\s]{2,100}\t(?:TRUE|FALSE)\t[^\t\n]{1,100}\t(?:TRUE|FALSE)\t[0-9]{1,12}\t"
        r"[^\t\n]{1,100}"
        r"\t)[^\s]{4,4096}",
        ".example.org\tTRUE\t/\tTRUE\t0\tsession\t{20}",
        "a\tTRUE\tb",
    ),
    Way(
        "user:password in a file of them",
        ("{plain}", "{cleartext}", "]:2", "]:4", "]:5", "stats auth", "login="),
        r"(?m)(^[ \t]{0,8}(?:\S{1,64}[ \t]{1,8})?[\w.+-]{1,64}(?:@[\w.-]{1,64})?:\{(?:PLAIN"
        r"|CLEARTEXT)\}"
        r"|^\[[\w.-]{1,64}\]:[0-9]{1,5}[ \t]{1,8}[^\s:]{1,64}:"
        r"|\b(?:stats[ ]auth|login=)[ ]?[\w.-]{1,64}:)[^\s:]{4,256}",
        "bob:{PLAIN}{12}::::",
        "[smtp.example.org]:587",
    ),
    Way(
        "PPP and IPsec",
        ("psk", '* "'),
        r"((?:\bPSK|(?m:^)[\w.-]{1,40}[ \t]{1,8}\*)[ \t]{1,8}\")[^\"\n]{4,256}",
        '10.0.0.1 : PSK "{12}"',
        '"x"',
    ),
    Way(
        "user of Redis",
        (" >",),
        r"(\buser[ ][\w-]{1,64}[ ](?:on|off)[ ](?:[#~+&@%\w*-]{1,32}[ ]){0,4}>)[^\s]{3,256}",
        "user bob on >{12} ~* +@all",
        "user bob on ~*",
    ),
    Way(
        "a secret as its function's argument",
        (
            "jwt.",
            "hmac",
            "aes.",
            "aes(",
            "des.",
            "des3.",
            "arc4",
            "blowfish",
            "chacha20",
            "fernet(",
            "pgp_sym",
            "crypt(",
        ),
        r"(?i)((?:\bjwt\.(?:sign|encode|decode|verify)\([^\n,()]{1,80},[ ]?"
        r"|\bhmac\.new\([ ]?|createHmac\([ ]?[\"'][\w-]{1,16}[\"'],[ ]?"
        r"|\b(?:AES|DES3?|ARC4|Blowfish|ChaCha20(?:_Poly1305)?|Fernet)(?:\.new)?\([ ]?(?:key=)?"
        r"|pgp_sym_(?:en|de)crypt\([^\n()]{1,200},[ ]?|\bcrypt\()b?[\"'])"
        rf"{_TEXT}(?=[\"'])",
        "jwt.sign(payload, '{12}')",
        "jwt.sign(payload, key)",
    ),
    Way(
        "the last of a login's arguments",
        (
            "user(",
            "getconnection(",
            "pdo(",
            "mysqli",
            "login(",
            "log_in(",
            "signin(",
            "sign_in(",
            "connect(",
        ),
        r"(?i)((?:\bcreate_?(?:super)?user|\bgetconnection|\bnew[ ]pdo|mysqli(?:_connect)?"
        r"|\blog_?in"
        rf"|\bsign_?in|\bconnect)\((?:[ ]?{_LITERAL}[ ]?,){{1,2}}[ ]?[\"'])(?!b?[\"'])"
        rf"{_TYPED}(?=[\"'])",
        "login('bob', '{12}9')",
        "connect('localhost', 'bob')",
    ),
    Way(
        "PHP's define",
        ("define(",),
        r"(?i)(\bdefine\([ ]{0,4}[\"'][A-Z0-9_]{0,64}(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|KEY|SALT)"
        r"[\"'][ ]{0,4},[ ]{0,16}[\"'])[^\"'\n]{3,256}",
        "define( 'DB_PASSWORD', '{12}' );",
        "define('DB_NAME', 'x');",
    ),
    Way(
        "wrapped in a type",
        ("some(", "optional[", "string(", '@"', "@'"),
        rf"(?i)({_WORD}[\"'\]]{{0,3}}[ ]?(?:=>|[:=])\s{{0,8}}(?:Some\((?=[\"'])|Optional\["
        rf"|string\([0-9]{{1,5}}\)[ ]|@(?=\"))"
        r"[\"']?)[^\"'\s\])]{3,256}",
        'password: Some("{12}")',
        "password: Some(value)",
    ),
    Way(
        "SQL Server's string",
        ("= n'", "=n'"),
        rf"(?i)({_WORD}[ ]?=[ ]?N')[^'\n]{{3,256}}",
        "CREATE LOGIN bob WITH PASSWORD = N'{12}'",
        "name = N'x'",
    ),
    Way(
        "what stands in for an unset variable",
        ("||", "??"),
        r"(?i)(\benv\.\w{0,64}(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|KEY)\w{0,16}[ ]?(?:\|\||\?\?)"
        r"[ ]?"
        r"[\"'`])[^\"'`\n]{3,256}",
        "process.env.JWT_SECRET || '{12}'",
        "process.env.PORT || '3000'",
    ),
    Way(
        "printf's second argument",
        ("printf",),
        r"(?i)(\bprintf[ ][\"'][^\"'\n]{0,64}(?:PASSWORD|PASS|SECRET|TOKEN|KEY)=%s(?:\\n)?[\"'][ ]"
        r"[\"']?)[^\s\"'$][^\s\"']{2,256}",
        "printf 'DB_PASSWORD=%s' '{12}'",
        "printf 'NAME=%s' x",
    ),
    Way(
        "mask of a workflow",
        ("::add-mask::",),
        r"(::add-mask::)[^\s$]{3,256}",
        "::add-mask::{12}",
        "::add-mask::$X",
    ),
    Way(
        "list under its name",
        (":\n", ": \n", ":\r\n"),
        r"(?im)(^[ \t]{0,24}[\w.-]{0,40}(?:passwords|passwd|secrets|tokens|api_?keys|credentials):"
        r"[ \t\r]{0,8}\n[ \t]{0,24}-[ ][\"']?)(?=[^\s\"':]{0,60}[0-9])[^\s\"':]{6,256}[\"']?"
        r"(?:[ \t\r]*\n[ \t]{0,24}-[ ][^\s:]{1,256}[ \t\r]*$){0,64}",
        "passwords:\n  - {12}9\n",
        "tokens:\n  - name: x\n",
    ),
    Way(
        "part of a form",
        ("form-data",),
        rf"(?i)(form-data;[ ]name=\"[\w.-]{{0,40}}{_WORD}\"[^\n]{{0,80}}\r?\n(?:[^\n:]{{1,40}}:"
        rf"[^\n]{{1,80}}\n)?"
        r"\r?\n)[^\r\n]{3,1000}",
        'Content-Disposition: form-data; name="password"\r\n\r\n{12}\r\n--x',
        'Content-Disposition: form-data; name="file"\r\n\r\nx',
    ),
    Way(
        "value beside a name in XML",
        ("<value>",),
        rf"(?i)({_WORD}\s{{0,4}}</?[\w:]{{1,40}}>\s{{0,16}}<value>)[^<]{{3,400}}",
        "<name>javax.ConnectionPassword</name>\n<value>{12}</value>",
        "<name>x</name>\n<value>y</value>",
    ),
    Way(
        "XML, with attributes",
        ("</",),
        rf"(?i)(<(?:[\w-]{{1,32}}:)?[\w.-]{{0,40}}{_WORD}[ ][^<>]{{1,200}}>)[^<]{{3,400}}(?=</)",
        '<wsse:Password Type="x">{12}</wsse:Password>',
        '<input type="password"></input>',
    ),
    Way(
        "column of tokens in a query's answer",
        ("value ",),
        r"(?m)(^Key[ ]{2,40}Value[ \t]{0,8}\n[- ]{3,80}\n(?:[^\n]{1,200}\n){0,8}?"
        r"(?:value|token|password)[ ]{2,40})"
        r"[^\n]{3,256}",
        "Key     Value\n---     -----\nvalue   {12}",
        "value   x",
    ),
    Way(
        "wrapped into the next line",
        ("\\\n",),
        rf"(?i)({_WORD}[\"' ]{{0,2}}=[\"' ]{{0,2}})[A-Za-z0-9+/_=-]{{16,256}}\\\n"
        rf"[A-Za-z0-9+/_=-]{{8,256}}",
        "API_TOKEN={30}\\\n{30}",
        "name=x\\\ny",
    ),
    Way(
        "put together from strings",
        ('" +', '"+', '"\n'),
        rf"(?i)({_WORD}[ ]{{0,2}}(?:=|:)[ ]{{0,2}}[( ]{{0,2}}[\"'])[^\"'\n]{{8,256}}"
        rf"[\"']\s{{0,4}}\+?\s{{1,40}}[\"'][^\"'\n]{{8,256}}",
        'apiKey = "{30}" + "{30}"',
        'name = "x" + "y"',
    ),
    Way(
        "put together from strings in single quotes",
        ("' +", "'+", "'\n"),
        rf"(?i)({_WORD}[ ]{{0,2}}(?:=|:)[ ]{{0,2}}[( ]{{0,2}}')"
        rf"[^'\n]{{8,256}}'\s{{0,4}}\+?\s{{1,40}}'[^'\n]{{8,256}}",
        "token = ('{30}'\n  '{30}')",
        "name = 'x' + 'y'",
    ),
    Way(
        "user:password@host",
        ("@",),
        r"(?m)((?:^|[\s\"'`(])[A-Za-z][\w.-]{0,31}:)(?!//)(?=[^\s\"'@/]{0,60}[0-9!#$%^&*+=])"
        r"[^\s\"'@/:,]{6,128}"
        r"(?=@[\w-]{2,64}(?:[\s.:/\"')]|$))",
        "bob:{12}9@host",
        "image: nginx:1.2@sha256",
    ),
    Way(
        "typed for a prompt",
        ("+login",),
        rf"([ ]\+login[ ]\S{{1,64}}[ ])(?!\+){_REST}",
        "steamcmd +login bob {12} +quit",
        "steamcmd +login anonymous +quit",
    ),
    Way(
        "both lines of passwd",
        ("passwd",),
        r"(\becho[ ]-e[ ][\"'])[^\"'\n]{3,256}(?=[\"'][ ]?\|[ ]?(?:sudo[ ])?passwd)",
        "echo -e '{12}\\n{12}' | passwd bob",
        "echo -e 'x' | cat",
    ),
    Way(
        "set by a program of its own",
        (" pass ", ".password ", "prompt:"),
        r"(\b(?:rclone|weechat|solana-keygen)\b[^\n|;]{0,100}?[ ](?:[\w.]{0,64}pass(?:word)?[ ]"
        rf"|[\"']?prompt:)){_TYPED}",
        "rclone config create x sftp pass {12}9",
        "rclone copy a b",
    ),
    Way(
        "user of ftp",
        ("open ",),
        rf"(?m)(\bopen[ ][^\n]{{1,100}}\n[ ]{{0,8}}user[ ]\S{{1,64}}[ ]){_REST}",
        "open host\nuser bob {12}",
        "open host\nuser bob",
    ),
)

PROGRAMS: Final = (
    Option(
        "uv|doctl|influx|codecov|frpc|hcloud|linode-cli",
        rf"([ \t]-t[ \t=]{{1,4}}[\"']?){_TYPED}",
        "uv publish -t {12}9",
        "uv run -t",
    ),
    Option(
        "nuget",
        rf"(?i)([ \t]-k[ \t=]{{1,4}}[\"']?){_TYPED}",
        "dotnet nuget push x -k {12}9",
        "nuget restore",
    ),
    Option(
        "security|irssi",
        rf"([ \t]-[wpP][ \t]{{1,4}}[\"']?){_TYPED}",
        "security unlock-keychain -p {12}9",
        "security find-certificate -p",
    ),
    Option(
        "vsce|ovsx|poetry|supabase|snowsql|cqlsh|cypher-shell|mcrcon|rdesktop|eas|expo|buildah"
        "|argocd",
        rf"([ \t]-p[ \t=]{{1,4}}[\"']?){_TYPED}",
        "vsce publish -p {12}9",
        "vsce package",
    ),
    Option(
        "gem",
        rf"([ \t]--key[ \t=]{{1,4}}[\"']?){_TYPED}",
        "gem push --key {12}9",
        "gem list",
    ),
    Option(
        "etcdctl",
        r"([ \t]--user[ \t=]{1,4}[\"']?[\w.-]{1,64}:)[^\s\"']{1,256}",
        "etcdctl --user root:{12} get x",
        "etcdctl --user root get x",
    ),
    Option(
        "sonar-scanner|mvn|gradle|java",
        rf"([ \t]-[DP][\w.-]{{1,64}}(?:login|password|token|secret)=[\"']?){_TYPED}",
        "sonar-scanner -Dsonar.login={12}9",
        "mvn -Dx=1",
    ),
)
