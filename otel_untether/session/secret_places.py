"""Where source code, documents and programs show a secret, told by the words around it.

The second table, for our own redaction only: the collector's stays with what a key looks like
and what the commonest commands say, since each entry costs it every value it sees. Hints are
lower case; the first group of an expression stays; what says nothing in a secret's place, a
reference for instance, stays too.
"""

from __future__ import annotations

from typing import Final

from otel_untether.session.secret_patterns import Option, Shape

_NAMED: Final = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|credential)s?"
_ONE: Final = _NAMED.removesuffix("s?")  # tokens are counted
_LEAD: Final = r"[\w.-]{0,40}"  # only behind what begins a place: each step of it costs
_SHOUTED: Final = (
    r"[A-Z0-9_]{0,64}(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|KEY|PWD|CREDENTIALS?)[A-Z0-9_]{0,16}"
)
_WORD: Final = r"(?:password|passphrase|passcode|secret|token|api[ _-]?key|credentials?)"
_DIGIT: Final = "[0-9!@#$%^&*+=]"
_REST: Final = r"[^\s\"']{1,256}"

PLACES: Final = (
    Shape(
        "column of an aligned table",
        "  ",
        rf"(?im)(^[ \t]{{0,8}}{_LEAD}{_ONE}[ \t]{{2,60}})"
        rf"[^\s|]{{0,60}}{_DIGIT}[^\s|]{{0,256}}[ \t]*$",
        "password    {12}9",
        "token    is unknown",
    ),
    Shape(
        "cell beside its name",
        "|",
        rf"(?im)(^[ \t]{{0,8}}\|[ \t`*]{{0,16}}{_LEAD}{_ONE}[`*]{{0,3}}[ \t]{{0,64}}"
        r"\|[ \t`*]{0,16})[^\s|`*]{6,256}(?:[ \t`*]{0,64}(?:\||$))",
        "| DB_PASSWORD | {14} |",
        "| password | what you log in with |",
    ),
    Shape(
        "cell of a query's result",
        "|",
        rf"(?im)(^[ \t]{{0,8}}{_LEAD}{_ONE}[ \t]{{1,64}}\|[ \t]{{1,4}})"
        rf"[^\s|]{{0,60}}{_DIGIT}[^\s|]{{0,256}}[ \t]*$",
        " db_password | {14}9",
        " password | text",
    ),
    Shape(
        "setenv, setx, fish's set",
        "set",
        rf"(?m)(\b(?:setenv|setx|set[ \t]{{1,4}}-[a-zA-Z]{{1,4}})[ \t]{{1,4}}{_SHOUTED}"
        r"[ \t]{1,4}[\"']?)[^\s\"'][^\n\"']{0,256}",
        "set -gx API_TOKEN {16}",
        "setenv PATH /usr/bin",
    ),
    Shape(
        "Secret() of a settings library",
        "secret",
        r"(\bSecret(?:Str|Bytes|String)?\(\s{0,4}b?[\"'])[^\"'\n]{1,256}",
        "password=SecretStr('{12}')",
        "SecretStr(value)",
    ),
    Shape(
        "PowerShell",
        "securestring",
        r"(?i)(\bConvertTo-SecureString[ \t]{1,4}(?:-String[ \t]{1,4})?[\"']?)"
        r"[^\s\"'$][^\s\"']{1,256}",
        'ConvertTo-SecureString "{24}" -AsPlainText',
        "ConvertTo-SecureString $plain",
    ),
    Shape(
        "poetry, cargo",
        " ",
        r"(\b(?:poetry[ \t]{1,4}config[ \t]{1,4}(?:http-basic\.\S{1,64}[ \t]{1,4}\S{1,64}"
        r"|pypi-token\.\S{1,64})|cargo[ \t]{1,4}login)[ \t]{1,4}[\"']?)[^\s\"'-][^\s\"']{3,256}",
        "cargo login {32}",
        "cargo login --help",
    ),
    Shape(
        "a secret set by value",
        "se",
        r"(?i)(\b(?:secrets?|keyvault[ ]secret)[ \t]{1,4}(?:set|create|add|put)\b[^\n|;]{0,100}?"
        rf"[ \t](?:-b|--body|--value)[ \t=]{{0,4}}[\"']?){_REST}",
        'gh secret set NAME --body "{16}"',
        "gh secret set NAME < file",
    ),
    Shape(
        "a secret's literal",
        "--from-literal",
        rf"(?i)(--from-literal[= \t]{{1,4}}[\"']?[\w.-]{{1,128}}=[\"']?){_REST}",
        "kubectl create secret generic x --from-literal=dsn={12}",
        "kubectl create configmap x --from-file=y",
    ),
    Shape(
        "AWS parameter",
        "put-parameter",
        rf"(?i)(\bput-parameter\b[^\n|;]{{0,100}}?[ \t]--value[ \t=]{{1,4}}[\"']?){_REST}",
        'aws ssm put-parameter --name /db --value "{16}" --type SecureString',
        "aws ssm put-parameter --generate-cli-skeleton",
    ),
    Shape(
        "Redis",
        "auth",
        r"((?:\bredis|\bvalkey|\bkeydb|>[ ]?|[\"'])[^\n]{0,40}?\bAUTH[ \t]{1,4}"
        r"(?:[\w.-]{1,64}[ \t]{1,4})?[\"']?)[^\s\"']{4,256}",
        "redis-cli> AUTH {16}",
        "AUTH failed",
    ),
    Shape(
        "Redis' own password",
        "requirepass",
        rf"(?i)(\bconfig[ \t]{{1,4}}set[ \t]{{1,4}}requirepass[ \t]{{1,4}}[\"']?){_REST}",
        "CONFIG SET requirepass {12}",
        "CONFIG GET requirepass",
    ),
    Shape(
        "qpdf",
        "--encrypt",
        rf"(\bqpdf\b[^\n|;]{{0,100}}?--encrypt[ \t]{{1,4}}){_REST}[ \t]{{1,4}}{_REST}",
        "qpdf --encrypt {12} {12} 256 -- a b",
        "qpdf --encrypt",
    ),
    Shape(
        "net use",
        "/user:",
        rf"(?i)(\bnet[ \t]{{1,4}}use\b[^\n|;]{{0,100}}?/user:\S{{1,64}}[ \t]{{1,4}}){_REST}",
        "net use z: //h/s /user:bob {12}",
        "net use z: //h/s /user:bob",
    ),
    Shape(
        "wireless network",
        "w",
        r"(?i)(\b(?:nmcli\b[^\n|;]{0,100}?[ \t](?:password|wifi-sec\.psk|wep-key0)"
        rf"|wpa_passphrase[ \t]{{1,4}}\S{{1,64}})[ \t]{{1,4}}[\"']?){_REST}",
        'nmcli dev wifi connect home password "{12}"',
        "nmcli dev wifi list",
    ),
    Shape(
        "mkpasswd",
        "mkpasswd",
        r"(\bmkpasswd[ \t]{1,4}(?:-m|--method)[= \t]{1,4}[\w-]{1,32}[ \t]{1,4}[\"']?)"
        r"[^\s\"'|-][^\s\"']{0,256}",
        "mkpasswd -m sha-512 {12}",
        "mkpasswd -m help",
    ),
    Shape(
        "expect",
        "send",
        r"(?is)((?:assword|passphrase).{0,60}?\b(?:send|sendline|send_line)[ (]{1,3}"
        r"(?:--[ ])?b?[\"'])[^\"'\n]{3,256}",
        'expect "assword:"\nsend "{12}\\r"',
        'send "ls"',
    ),
    Shape(
        "a secret typed ahead",
        "send",
        r"(?i)(\bsend(?:line)?[ (]{1,3}(?:--[ ])?b?[\"'])[^\"'\n]{3,256}(?:[\"'].{0,16}password)",
        'send "{12}\\r" # password',
        'send "ls"',
    ),
    Shape(
        "answer to a prompt",
        " for ",
        r"(?im)(\b(?:password|passphrase)[ \t]{1,4}for[ \t][^\n:=]{1,80}(?::[^\n: ]{1,80})?[:=]"
        r"[ \t]{1,4})\S[^\n]{2,256}",
        "Enter password for bob: {12}",
        "Enter password for bob:",
    ),
    Shape(
        "on the next line",
        "\n",
        r"(?im)(\b(?:password|passphrase|token|api[ -]?key)\b[^\n:]{0,60}:?[ \t]{0,4}"
        r"\n{1,3}[ \t]{0,8}(?:new value:[ ])?)"
        rf"[A-Za-z0-9][^\s:=(){{}}]{{0,60}}{_DIGIT}[^\s:=(){{}}]{{6,256}}$",
        "Please use the following password to proceed:\n\n{8}9{12}\n",
        "Please use the following password to proceed:\n\nthe one that you know",
    ),
    Shape(
        "Markdown",
        "**",
        rf"(?i)(\b{_WORD}[ ]?(?:\*\*[ ]?:|:[ ]?\*\*)[ \t]{{0,4}}[`\"']?)[^\s`\"']{{3,256}}",
        "**Password:** `{12}`",
        "**Password:**",
    ),
    Shape(
        "quoted in a sentence",
        "`",
        rf"(?i)(\b{_WORD}[ ]`)[^\s`]{{0,60}}{_DIGIT}[^\s`]{{3,256}}",
        "use the token `{8}9{8}` for that",
        "the token `access_token`",
    ),
    Shape(
        "user and password in a sentence",
        " / ",
        r"(?i)(\b(?:log[ -]?in|log(?:ged)? in|sign[ -]?in|credentials?|creds|account)\b[^\n/]{0,40}"
        r"[ `\"'(][\w.@-]{1,40}[`\"']?[ ]/[ ][`\"']?)"
        rf"[^\s`\"'/]{{0,60}}{_DIGIT}[^\s`\"'/]{{0,100}}",
        "Login with admin / {8}9",
        "the login page / the start",
    ),
    Shape(
        "variable's default in HCL",
        "variable",
        r"(?i)(\bvariable[ ]\"[\w-]{0,60}(?:password|secret|token|key)[\w-]{0,20}\"[ ]?"
        r"\{[^}]{0,120}?\bdefault[ \t]{0,8}=[ \t]{0,4}\")[^\"\n]{1,256}",
        'variable "password" { default = "{12}" }',
        'variable "password" { type = string }',
    ),
    Shape(
        "here document",
        "<<",
        rf"(?i)({_NAMED}[ \t]{{0,4}}=[ \t]{{0,4}}<<[~-]?[\"']?\w{{1,32}}[\"']?\n)[^\n]{{1,1000}}",
        "db_password = <<EOT\n{12}\nEOT",
        "greeting = <<EOT\nhello\nEOT",
    ),
    Shape(
        "property list",
        "<key>",
        rf"(?i)(<key>{_LEAD}{_NAMED}[\w.-]{{0,20}}</key>\s{{0,40}}<string>)[^<]{{1,400}}",
        "<key>password</key>\n<string>{12}</string>",
        "<key>name</key>\n<string>x</string>",
    ),
    Shape(
        "XML, marked as text",
        "<![cdata[",
        rf"(?i)(<(?:[\w-]{{1,32}}:)?{_LEAD}{_NAMED}[^<>]{{0,80}}>\s{{0,8}}<!\[CDATA\[)[^\]]{{1,400}}",
        "<password><![CDATA[{12}]]></password>",
        "<name><![CDATA[x]]></name>",
    ),
    Shape(
        "Lua",
        "[[",
        rf"(?i)({_NAMED}[ ]{{0,4}}=[ ]{{0,4}}\[\[)[^\]\n]{{1,256}}",
        "password = [[{12}]]",
        "names = [[x]]",
    ),
    Shape(
        "Clojure",
        ":",
        rf"(?i)(:{_LEAD}{_NAMED}[ ]{{1,8}}\")[^\"\n]{{1,256}}",
        ':password "{12}"',
        ':name "x"',
    ),
    Shape(
        "C's define",
        "#define",
        rf"(#define[ \t]{{1,8}}{_SHOUTED}[ \t]{{1,16}}L?\")[^\"\n]{{1,256}}",
        '#define DB_PASSWORD "{12}"',
        '#define NAME "x"',
    ),
    Shape(
        "C's array",
        "]",
        rf"(?i)({_NAMED}\[[0-9A-Za-z_]{{0,24}}\][ ]{{0,4}}=[ ]{{0,4}}L?\")[^\"\n]{{1,256}}",
        'char password[] = "{12}"',
        'char name[] = "x"',
    ),
    Shape(
        "field of a page",
        "<input",
        r"(?i)(<input\b[^<>]{0,200}?\btype=[\"']?password\b[^<>]{0,200}?\bvalue=[\"'])[^\"'<>]{1,256}",
        '<input type="password" name="p" value="{12}">',
        '<input type="text" name="p" value="x">',
    ),
    Shape(
        "field of a page, its value first",
        "<input",
        r"(?i)(<input\b[^<>]{0,200}?\bvalue=[\"'])[^\"'<>]{1,256}[\"'][^<>]{0,200}?\btype=[\"']?password",
        '<input value="{12}" type="password">',
        '<input value="x" type="text">',
    ),
    Shape(
        "meta data of a page",
        "<meta",
        rf"(?i)(<meta\b[^<>]{{0,80}}?\b(?:name|property)=[\"'][\w.:-]{{0,40}}{_ONE}[\"']"
        r"[^<>]{0,40}?\bcontent=[\"'])[^\"'<>]{1,1000}",
        '<meta name="csrf-token" content="{12}">',
        '<meta name="author" content="x">',
    ),
    Shape(
        "typed into a page",
        "(",
        rf"(?i)(\.(?:fill|type|setvalue|set_value)\([ ]{{0,2}}[\"'`][^\"'`\n]{{0,80}}?{_ONE}"
        r"[^\n,]{0,40}[\"'`][ ]{0,2},[ ]{0,2}[\"'`])[^\"'`\n]{1,256}",
        "page.fill('#password', '{12}')",
        "page.fill('#name', 'x')",
    ),
    Shape(
        "typed into a field",
        ").",
        rf"(?i)({_ONE}[^\n(]{{0,40}}\)\.(?:fill|type|send_?keys|set_?value|press_?sequentially|input)"
        r"\([ ]{0,2}[\"'`])[^\"'`\n]{1,256}",
        "cy.get('#password').type('{12}')",
        "cy.get('#name').type('x')",
    ),
    Shape(
        "data source of Go's drivers",
        "@",
        r"(\b[\w.-]{1,64}:)[^\s:@/\"']{1,128}(?:@(?:tcp|unix)\()",
        "bob:{12}@tcp(localhost:3306)/shop",
        "bob@tcp(localhost:3306)/shop",
    ),
    Shape(
        "pulumi",
        "pulumi",
        r"(\bpulumi[ \t]{1,4}config[ \t]{1,4}set[ \t]{1,4}(?:--(?:secret|path)[ \t]{1,4}){0,3}"
        r"[\w:.-]{1,64}[ \t]{1,4}(?:--(?:secret|path)[ \t]{1,4}){0,2}[\"']?)"
        r"[^\s\"'-][^\s\"']{0,256}",
        "pulumi config set --secret dbPassword {12}",
        "pulumi config set --help",
    ),
    Shape(
        "setter",
        "(",
        r"(?i)((?:\b(?:set|with)_?\w{0,24}|\.)(?:password|passwd|passphrase|secret|token"
        r"|(?:api|secret|access)_?key)\([ ]{0,2}b?[\"'])[^\"'\n]{1,256}",
        '.setPassword("{12}")',
        'read_password("prompt")',
    ),
    Shape(
        "user and password as arguments",
        "(",
        r"(?i)((?:credentials?|basic_?auth|digest_?auth|proxy_?auth|\.login|\.authenticate|\.auth"
        r"|\.basic|auth=)\([ ]{0,4}[\"'][^\"'\n]{1,100}[\"'][ ]{0,4},[ ]{0,4}b?[\"'])"
        r"[^\"'\n]{1,256}",
        'client.login("bob", "{12}")',
        'client.login("bob", password)',
    ),
)

PROGRAMS: Final = (
    Option(
        "http|https|xh|xhs",
        rf"([ \t](?:-a|--auth)[ \t=]{{1,3}}[\"']?[^\s:\"']{{0,64}}:){_REST}",
        "http -a bob:{12} GET example.org",
        "http GET example.org",
    ),
    Option(
        "twine|ncftpget|ncftpput|ncftp|mosquitto_pub|mosquitto_sub|ipmitool|impacket|expdp|isql",
        r"([ \t]-[pP][ \t]{1,4}[\"']?)[^\s\"'$-][^\s\"']{2,256}",
        "twine upload -u __token__ -p {16} dist",
        "twine check dist",
    ),
    Option(
        "lftp",
        rf"([ \t](?:-u|user)[ \t]{{1,4}}[\"']?[^\s,\"']{{1,64}}[, ]){_REST}",
        "lftp -u bob,{12} host",
        "lftp -u bob",
    ),
    Option(
        "ssh-keygen",
        rf"([ \t]-[NP][ \t]{{1,4}}[\"']?){_REST}",
        "ssh-keygen -t ed25519 -N {12} -f k",
        "ssh-keygen -l",
    ),
    Option(
        "sqlplus|expdp|impdp|rman|sqlldr|exp|imp",
        r"([ \t][\"']?[\w$#]{1,64}/)[^\s@\"'/]{1,128}",
        "sqlplus scott/{12}@orcl",
        "sqlplus /nolog",
    ),
    Option("rar|unrar", r"([ \t]-h?p)[^\s-][^\s]{0,256}", "rar a -hp{12} x", "rar a x"),
    Option(
        "useradd|usermod",
        r"([ \t]-[a-zA-Z]{0,4}p[ \t]{1,4}[\"']?)[^\s\"'-][^\s\"']{0,256}",
        "useradd -p {12} bob",
        "useradd -m bob",
    ),
    Option(
        "vault|doppler|infisical|op|chamber|flyctl|fly|railway|render|heroku|convex|supabase",
        r"([ \t](?:[\w/.:-]{1,64}[ \t]{1,4})?(?:kv[ \t]{1,4}put|secrets?[ \t]{1,4}set|config:set"
        r"|env[ \t]{1,4}set|variables?[ \t]{1,4}(?:--)?set)[ \t]{1,4}(?:[\w/.-]{1,100}[ \t]{1,4})?"
        r"[\"']?[\w.-]{1,64}=)[^\s\"']{1,256}",
        "vault kv put secret/db value={12}",
        "vault kv put secret/db @file",
    ),
    Option(
        "kinit|ldapmodify|snmpget|snmpwalk|snmpset",
        r"([ \t]-[AX][ \t]{1,4}[\"']?)[^\s\"'-][^\s\"']{3,256}",
        "snmpget -v3 -u bob -A {12} host x",
        "snmpget -v2c host x",
    ),
)
