"""What secrets look like: one table, for our own redaction and for the collector's.

Formats are those that vendors publish. Each entry carries a text that must be found and one
that must not be; where a text says ``{20}``, twenty characters of the key's own alphabet
belong, so that no scanner takes this file for a leak.

Every expression is of the kind that Go's RE2 reads too (no looking around), and of the kind
that Python's backtracking reads in linear time: a literal or a word boundary first, then
classes with a bound, none of which is followed by what it may itself have eaten.
"""

# Without annotations from __future__: named tuples are made of real ones in half the time.
from typing import Final, NamedTuple

WORD: Final = r"A-Za-z0-9_\-"
ALNUM: Final = "A-Za-z0-9"
HEX: Final = "0-9a-f"
UPPER: Final = "A-Z0-9"
BASE64: Final = r"A-Za-z0-9+/=_\-"


class Format(NamedTuple):
    """A key that begins with a literal: `prefix`, then at least `least` of `alphabet`.

    `innocent` begins the same way and is none. A `distinct` prefix is enough by itself; any
    other counts only where a word begins.
    """

    vendor: str
    prefix: str
    alphabet: str
    least: int
    innocent: str
    distinct: bool = True


class Option(NamedTuple):
    """A program's option whose value is a secret, within 400 characters behind the program.

    `expression` begins with the option; its first group stays.
    """

    program: str
    expression: str
    secret: str
    innocent: str


class Shape(NamedTuple):
    """A key known by its whole shape; `hint` is a literal without which it cannot be there."""

    vendor: str
    hint: str
    expression: str
    secret: str
    innocent: str


FORMATS: Final = (
    Format("Anthropic", "sk-ant-", WORD, 10, "sk-ant-keys"),
    Format("OpenAI", "sk-proj-", WORD, 10, "sk-proj-dir"),
    Format("OpenAI service account", "sk-svcacct-", WORD, 10, "sk-svcacct-x"),
    Format("OpenAI admin", "sk-admin-", WORD, 12, "sk-admin-page"),
    Format("OpenRouter", "sk-or-v1-", WORD, 16, "sk-or-v1-beta"),
    Format("Langfuse", "sk-lf-", WORD, 16, "sk-lf-demo"),
    Format("Stripe secret key", "sk_live_", ALNUM, 10, "sk_live_x"),
    Format("Stripe test key", "sk_test_", ALNUM, 10, "sk_test_x"),
    Format("Stripe restricted key", "rk_live_", ALNUM, 10, "rk_live_x"),
    Format("Stripe restricted test key", "rk_test_", ALNUM, 10, "rk_test_x"),
    Format("Stripe webhook", "whsec_", BASE64, 16, "whsec_name"),
    Format("GitHub personal", "ghp_", ALNUM, 20, "ghp_token"),
    Format("GitHub OAuth", "gho_", ALNUM, 20, "gho_token"),
    Format("GitHub user", "ghu_", ALNUM, 20, "ghu_token"),
    Format("GitHub server", "ghs_", ALNUM, 20, "ghs_token"),
    Format("GitHub refresh", "ghr_", ALNUM, 20, "ghr_token"),
    Format("GitHub fine-grained", "github_pat_", WORD, 20, "github_pat_env"),
    Format("GitLab personal", "glpat-", WORD + ".", 16, "glpat-name"),
    Format("GitLab pipeline trigger", "glptt-", WORD, 16, "glptt-name"),
    Format("GitLab runner", "glrt-", WORD, 16, "glrt-name"),
    Format("GitLab runner registration", "GR1348941", WORD, 16, "GR1348941"),
    Format("GitLab deploy", "gldt-", WORD, 16, "gldt-name"),
    Format("GitLab job", "glcbt-", WORD, 16, "glcbt-name"),
    Format("GitLab application", "gloas-", WORD, 16, "gloas-name"),
    Format("GitLab feed", "glft-", WORD, 16, "glft-name"),
    Format("GitLab agent", "glagent-", WORD, 16, "glagent-name"),
    Format("GitLab incoming mail", "glimt-", WORD, 16, "glimt-name"),
    Format("GitLab SCIM", "glsoat-", WORD, 16, "glsoat-name"),
    Format("Slack bot", "xoxb-", WORD, 10, "xoxb-bot"),
    Format("Slack user", "xoxp-", WORD, 10, "xoxp-bot"),
    Format("Slack app", "xoxa-", WORD, 10, "xoxa-bot"),
    Format("Slack refresh", "xoxr-", WORD, 10, "xoxr-bot"),
    Format("Slack legacy", "xoxs-", WORD, 10, "xoxs-bot"),
    Format("Slack configuration", "xoxe", WORD + ".", 20, "xoxexo"),
    Format("Slack session", "xoxc-", WORD, 10, "xoxc-bot"),
    Format("Slack cookie", "xoxd-", WORD + "%", 10, "xoxd-bot"),
    Format("Slack app level", "xapp-", WORD, 16, "xapp-name"),
    Format("AWS access key", "AKIA", UPPER, 16, "AKIAN", distinct=False),
    Format("AWS temporary key", "ASIA", UPPER, 16, "ASIA", distinct=False),
    Format("AWS bearer", "ABSK", BASE64, 60, "ABSKET", distinct=False),
    Format("Google API", "AIza", WORD, 30, "AIza-name"),
    Format("Google OAuth client", "GOCSPX-", WORD, 16, "GOCSPX-id"),
    Format("Google access", "ya29.", WORD + ".", 16, "ya29.txt"),
    Format("Google refresh", "1//0", WORD, 30, "1//0", distinct=False),
    Format("Grafana API", "eyJrIjoi", ALNUM, 40, "eyJrIjoi"),
    Format("JSON web token in Base64", "ZXlK", ALNUM, 60, "ZXlK", distinct=False),
    Format("Hugging Face", "hf_", ALNUM, 20, "hf_hub_download", distinct=False),
    Format("Hugging Face organisation", "api_org_", ALNUM, 20, "api_org_name"),
    Format("Groq", "gsk_", ALNUM, 20, "gsk_model", distinct=False),
    Format("xAI", "xai-", ALNUM, 40, "xai-grok", distinct=False),
    Format("Replicate", "r8_", ALNUM, 30, "r8_unorm", distinct=False),
    Format("Perplexity", "pplx-", ALNUM, 30, "pplx-70b-online"),
    Format("Fireworks", "fw_", ALNUM, 20, "fw_version", distinct=False),
    Format("Cerebras", "csk-", ALNUM, 30, "csk-name", distinct=False),
    Format("NVIDIA", "nvapi-", WORD, 30, "nvapi-doc"),
    Format("Tavily", "tvly-", WORD, 16, "tvly-name"),
    Format("Pinecone", "pcsk_", WORD, 30, "pcsk_name"),
    Format("npm", "npm_", ALNUM, 36, "npm_config_cache", distinct=False),
    Format("PyPI", "pypi-AgE", WORD, 16, "pypi-AgE"),
    Format("RubyGems", "rubygems_", HEX, 40, "rubygems_version"),
    Format("crates.io", "cio", ALNUM, 32, "cio", distinct=False),
    Format("Docker Hub", "dckr_pat_", WORD, 20, "dckr_pat_name"),
    Format("Docker organisation", "dckr_oat_", WORD, 20, "dckr_oat_name"),
    Format("SendGrid", "SG.", WORD + ".", 40, "SG.pdf", distinct=False),
    Format("Brevo", "xkeysib-", WORD, 40, "xkeysib-name"),
    Format("Mailgun", "key-", ALNUM, 32, "key-value", distinct=False),
    Format("HashiCorp Vault service", "hvs.", WORD, 20, "hvs.go"),
    Format("HashiCorp Vault batch", "hvb.", WORD, 20, "hvb.go"),
    Format("HashiCorp Vault recovery", "hvr.", WORD, 20, "hvr.go"),
    Format("DigitalOcean personal", "dop_v1_", HEX, 40, "dop_v1_name"),
    Format("DigitalOcean OAuth", "doo_v1_", HEX, 40, "doo_v1_name"),
    Format("DigitalOcean refresh", "dor_v1_", HEX, 40, "dor_v1_name"),
    Format("Databricks", "dapi", HEX, 32, "dapi_client"),
    Format("Shopify admin", "shpat_", ALNUM, 20, "shpat_name"),
    Format("Shopify custom app", "shpca_", ALNUM, 20, "shpca_name"),
    Format("Shopify private app", "shppa_", ALNUM, 20, "shppa_name"),
    Format("Shopify shared secret", "shpss_", ALNUM, 20, "shpss_name"),
    Format("Square", "sq0", WORD, 22, "sq0", distinct=False),
    Format("Square access", "EAAA", WORD, 56, "EAAA", distinct=False),
    Format("Linear", "lin_api_", ALNUM, 20, "lin_api_name"),
    Format("Linear OAuth", "lin_oauth_", ALNUM, 20, "lin_oauth_name"),
    Format("Notion", "ntn_", ALNUM, 30, "ntn_name"),
    Format("Notion integration", "secret_", ALNUM, 40, "secret_santa", distinct=False),
    Format("Figma", "figd_", WORD, 30, "figd_name"),
    Format("Postman", "PMAK-", WORD, 40, "PMAK-name"),
    Format("Atlassian", "ATATT3", WORD + "=", 40, "ATATT3"),
    Format("Atlassian app", "ATCTT3", WORD + "=", 40, "ATCTT3"),
    Format("Bitbucket app", "ATBB", ALNUM, 20, "ATBB", distinct=False),
    Format("Grafana service account", "glsa_", ALNUM + "_", 30, "glsa_name"),
    Format("Grafana Cloud", "glc_", BASE64, 30, "glc_name"),
    Format("New Relic user", "NRAK-", UPPER, 20, "NRAK-X"),
    Format("New Relic browser", "NRJS-", HEX, 16, "NRJS-X"),
    Format("New Relic insights", "NRII-", WORD, 20, "NRII-X"),
    Format("Dynatrace", "dt0c01.", UPPER + ".", 30, "dt0c01.md"),
    Format("Dynatrace platform", "dt0s16.", UPPER + ".", 30, "dt0s16.md"),
    Format("Honeycomb ingest", "hcaik_", ALNUM + "_", 30, "hcaik_name"),
    Format("Sentry user", "sntryu_", HEX, 40, "sntryu_name"),
    Format("Sentry organisation", "sntrys_", BASE64, 30, "sntrys_name"),
    Format("PostHog personal", "phx_", ALNUM, 30, "phx_name", distinct=False),
    Format("Pulumi", "pul-", HEX, 40, "pul-name", distinct=False),
    Format("PlanetScale password", "pscale_pw_", WORD + ".", 30, "pscale_pw_name"),
    Format("PlanetScale token", "pscale_tkn_", WORD + ".", 30, "pscale_tkn_name"),
    Format("PlanetScale OAuth", "pscale_oauth_", WORD + ".", 30, "pscale_oauth_name"),
    Format("Supabase", "sbp_", HEX, 40, "sbp_name"),
    Format("Supabase secret key", "sb_secret_", WORD, 20, "sb_secret_name"),
    Format("Netlify", "nfp_", ALNUM, 30, "nfp_name", distinct=False),
    Format("Heroku", "HRKU-", WORD, 30, "HRKU-AAA"),
    Format("Fly.io", "fm1", BASE64, 60, "fm1_doc", distinct=False),
    Format("Fly.io macaroon", "fm2_", BASE64, 60, "fm2_doc", distinct=False),
    Format("Fly.io token", "fo1_", WORD, 30, "fo1_doc"),
    Format("Doppler", "dp.pt.", ALNUM, 30, "dp.pt.md"),
    Format("Doppler service", "dp.st.", WORD + ".", 30, "dp.st.md"),
    Format("1Password service account", "ops_eyJ", BASE64, 40, "ops_eyJ"),
    Format("1Password secret key", "A3-", UPPER + r"\-", 32, "A3-PAGE", distinct=False),
    Format("age", "AGE-SECRET-KEY-1", UPPER, 40, "AGE-SECRET-KEY-1"),
    Format("Tailscale", "tskey-", WORD, 16, "tskey-doc"),
    Format("CircleCI", "CCIPAT_", WORD, 30, "CCIPAT_NAME"),
    Format("Buildkite", "bkua_", HEX, 40, "bkua_name"),
    Format("SonarQube", "sqp_", HEX, 40, "sqp_name"),
    Format("SonarQube user", "squ_", HEX, 40, "squ_name"),
    Format("Snyk", "snyk_uat.", WORD + ".", 20, "snyk_uat.md"),
    Format("Artifactory", "AKCp", ALNUM, 60, "AKCp", distinct=False),
    Format("k3s node", "K10", HEX, 60, "K10", distinct=False),
    Format("Contentful", "CFPAT-", WORD, 30, "CFPAT-NAME"),
    Format("EasyPost", "EZAK", ALNUM, 50, "EZAKIEL", distinct=False),
    Format("Duffel", "duffel_live_", WORD + "=", 30, "duffel_live_x"),
    Format("Flutterwave", "FLWSECK", WORD, 12, "FLWSECK"),
    Format("Frame.io", "fio-u-", WORD + "=", 40, "fio-u-name"),
    Format("Prefect", "pnu_", ALNUM, 30, "pnu_name"),
    Format("ReadMe", "rdme_", ALNUM, 50, "rdme_doc"),
    Format("Typeform", "tfp_", WORD + ".=", 40, "tfp_name"),
    Format("Shippo", "shippo_live_", HEX, 30, "shippo_live_x"),
    Format("Adobe", "p8e-", ALNUM, 30, "p8e-name", distinct=False),
    Format("Alibaba access key", "LTAI", ALNUM, 16, "LTAI", distinct=False),
    Format("Tencent access key", "AKID", ALNUM, 30, "AKID", distinct=False),
    Format("Cloudflare origin CA", "v1.0-", HEX + r"\-", 100, "v1.0-beta", distinct=False),
    Format("Infracost", "ico-", ALNUM, 30, "ico-file", distinct=False),
    Format("Scalingo", "tk-us-", WORD, 40, "tk-us-name"),
    Format("ClickHouse Cloud", "4b1d", ALNUM, 38, "4b1d", distinct=False),
    Format("Sourcegraph", "sgp_", HEX + "_local", 40, "sgp_name"),
    Format("Cursor", "crsr_", HEX, 40, "crsr_name"),
    Format("Firecrawl", "fc-", HEX, 32, "fc-list", distinct=False),
    Format("LangSmith", "lsv2_", ALNUM + "_", 30, "lsv2_doc"),
    Format("E2B", "e2b_", HEX, 40, "e2b_name"),
    Format("Render", "rnd_", ALNUM, 24, "rnd_seed", distinct=False),
    Format("NuGet", "oy2", "a-z0-9", 43, "oy2", distinct=False),
    Format("Clojars", "CLOJARS_", ALNUM, 40, "CLOJARS_URL"),
    Format("Artifactory reference", "cmVmdGtu", ALNUM, 40, "cmVmdGtu", distinct=False),
    Format("Adafruit", "aio_", ALNUM, 28, "aio_read", distinct=False),
    Format("Brave Search", "BSA", WORD, 27, "BSAFE", distinct=False),
    Format("Neon", "napi_", ALNUM, 40, "napi_value", distinct=False),
    Format("Axiom", "xaat-", HEX + r"\-", 30, "xaat-name"),
    Format("Axiom personal", "xapt-", HEX + r"\-", 30, "xapt-name"),
    Format("Clerk and others", "sk_", ALNUM, 30, "sk_buff", distinct=False),
)

SHAPES: Final = (
    Shape(
        "OpenAI and others",
        "sk-",
        r"\bsk-(?:[a-z0-9]{2,12}-){0,3}[A-Za-z0-9_]{20,}[A-Za-z0-9_-]*",
        "sk-cp-{24}",
        "sk-top-container-id-1",
    ),
    Shape(
        "JSON web token",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{8,}){1,4}",
        "eyJ{34}.{60}.{43}",
        "eyJ.md",
    ),
    Shape(
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,}",
        "hooks.slack.com/services/T{8}/B{8}/{24}",
        "hooks.slack.com/services",
    ),
    Shape(
        "Discord webhook",
        "/api/webhooks/",
        r"/api/webhooks/[0-9]{6,24}/[A-Za-z0-9_-]{30,}",
        "https://discord.com/api/webhooks/123456789012345678/{68}",
        "/api/webhooks/42/edit",
    ),
    Shape(
        "Teams webhook",
        ".webhook.office.com/",
        r"\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{40,}",
        "x.webhook.office.com/webhookb2/{36}@{36}/IncomingWebhook/{32}/{36}",
        "x.webhook.office.com/help",
    ),
    Shape(
        "Discord bot",
        ".",
        r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,45}",
        "M{25}.G{5}.{38}",
        "Node.module.exports",
    ),
    Shape(
        "Telegram bot",
        ":A",
        r"\b[0-9]{6,16}:A[A-Za-z0-9_-]{32,}",
        "1234567890:AA{33}",
        "12345678:Arguments",
    ),
    Shape(
        "Telegram bot in a URL",
        "/bot",
        r"/bot[0-9]{6,16}:[A-Za-z0-9_-]{30,}",
        "https://api.telegram.org/bot1234567890:{35}/getMe",
        "/bot/getMe",
    ),
    Shape("Twilio", "SK", r"\bSK[0-9a-fA-F]{32}", "SK" + "0a" * 16, "SKU"),
    Shape(
        "SendGrid",
        "SG.",
        r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,}",
        "SG.{22}.{43}",
        "SG.pdf",
    ),
    Shape(
        "Airtable",
        "pat",
        r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{60,}",
        "pat{14}." + "0a" * 32,
        "patterns.py",
    ),
    Shape("Resend", "re_", r"\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", "re_{8}_{24}", "re_compile"),
    Shape("Facebook", "EAA", r"\bEAA[MC][A-Za-z0-9]{20,}", "EAAC{40}", "EAACX"),
    Shape(
        "Azure client secret",
        "Q~",
        r"\b[A-Za-z0-9_.-]{3}[0-9]Q~[A-Za-z0-9_.~-]{30,}",
        "abc8Q~{34}",
        "8Q~",
    ),
    Shape(
        "AWS secret after its id",
        "KIA",
        r"\bAKIA[A-Z0-9]{16}[^A-Za-z0-9/+_-]{1,20}"
        r"(?:[A-Za-z_-]{1,24}[^A-Za-z0-9/+_-]{1,8}){0,3}"
        r"[A-Za-z0-9/+]{40}",
        "AKIA" + "EXAMPLE9" * 2 + ",{40}",
        "AKIA,",
    ),
    Shape(
        "Mailchimp",
        "-us",
        r"\b[0-9a-f]{32}-us[0-9]{1,2}\b",
        "0a" * 16 + "-us12",
        "region-us1",
    ),
    Shape(
        "Password hash of crypt",
        "$",
        r"\$(?:2[abxy]|1|5|6|y|7|apr1|argon2(?:id|i|d)|pbkdf2-[a-z0-9]{1,10}|scrypt)\$"
        r"[A-Za-z0-9./=,+$-]{20,}",
        "$6${16}${86}",
        "$1$",
    ),
    Shape(
        "Terraform Cloud",
        ".atlasv1.",
        r"\b[A-Za-z0-9]{10,20}\.atlasv1\.[A-Za-z0-9_-]{40,}",
        "{14}.atlasv1.{64}",
        "x.atlasv1.md",
    ),
    Shape(
        "LaunchDarkly",
        "-",
        r"\b(?:sdk|mob|api)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
        "sdk-0a0a0a0a-0a0a-40a0-80a0-0a0a0a0a0a0a",
        "sdk-2024-01",
    ),
    Shape("Modal", "-", r"\ba[ks]-[A-Za-z0-9]{22}\b", "as-{22}", "as-is"),
    Shape(
        "Zapier webhook",
        "hooks.zapier.com/",
        r"hooks\.zapier\.com/hooks/catch/[0-9]{4,12}/[A-Za-z0-9]{6,}",
        "hooks.zapier.com/hooks/catch/1234567/{7}",
        "hooks.zapier.com/hooks/catch/",
    ),
    Shape(
        "Alchemy",
        ".alchemy.com/",
        r"\.alchemy\.com/(?:v2|nft/v[0-9])/[A-Za-z0-9_-]{20,}",
        "https://eth-mainnet.g.alchemy.com/v2/{32}",
        "https://docs.alchemy.com/reference",
    ),
    Shape(
        "Infura",
        "infura.io/",
        r"infura\.io/(?:ws/)?v3/[0-9a-f]{32}",
        "https://mainnet.infura.io/v3/" + "0a" * 16,
        "https://docs.infura.io/api",
    ),
    Shape(
        "Oracle's thin driver",
        ":thin:",
        r":thin:[^\s/@\"']{1,64}/[^\s@\"']{1,128}@",
        "jdbc:oracle:thin:scott/{12}@//db:1521/x",
        "jdbc:oracle:thin:@//db:1521/x",
    ),
    Shape(
        "Private key without its first line",
        "M",
        # PKCS #8 of RSA and elliptic curves, PKCS #1, SEC 1, Ed25519: the first bytes of their DER.
        r"\bM(?:II[A-Za-z0-9+/]{2}(?:AIBADANBgkqhkiG9w0BAQEFAASC|gIBADANBgkqhkiG9w0BAQEFAASC"
        r"|wIBADANBgkqhkiG9w0BAQEFAASC|QIBADANBgkqhkiG9w0BAQEFAASC|AIBAAKC|gIBAAKC|wIBAAKC|QIBAAKC)"
        r"|IGHAgEAMBMGByqGSM49|HcCAQEEI|IGkAgEBBD|C4CAQAwBQYDK2VwBCIEI)"
        r"[A-Za-z0-9+/=]{16,}(?:(?:\\r)?(?:\\n|\s)[A-Za-z0-9+/=]{40,80})*",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{40}",
        "MIIDazCCAlOgAwIBAgIUE",
    ),
    Shape(
        "Plaid",
        "access-",
        r"\baccess-(?:sandbox|development|production)-[0-9a-f-]{30,}",
        "access-production-" + "0a" * 18,
        "access-production-logs",
    ),
    Shape("Yandex", "AQVN", r"\bAQVN[A-Za-z0-9_-]{35,38}", "AQVN{36}", "AQVN"),
    Shape(
        "Asana",
        "1/",
        r"\b[0-2]/[0-9]{12,20}(?:/[0-9]{12,20})?:[a-f0-9]{32}",
        "1/1200000000000001:" + "0a" * 16,
        "1/12/2024",
    ),
)

# Where a command, a protocol or a file says by its own words that a secret follows. Hints are
# lower case, the first group stays.
COMMANDS: Final = (
    Shape(
        "Bearer token",
        "bearer",
        r"(?i)(\bbearer\\?[ \t:=]{1,4}\\?[\"']?)[A-Za-z0-9_.~+/=-]{16,}",
        "bearer {24}",
        "bearer of bad news",
    ),
    Shape(
        "Basic credentials",
        "basic",
        r"(?i)(\bauthorization\b.{0,8}\bbasic[ \t]{1,4})[A-Za-z0-9+/=]{6,}",
        "Authorization: Basic {16}",
        "basic authorization",
    ),
    Shape(
        "sshpass",
        "sshpass",
        r"(\bsshpass[ \t]{1,4}-p[ \t]{0,4}[\"']?)[^\s\"']{1,200}",
        "sshpass -p {12} ssh host",
        "sshpass -e ssh host",
    ),
    Shape(
        "openssl pass:",
        "pass:",
        r"((?:-pass(?:in|out)?[ \t]{1,4})[\"']?pass:)[^\s\"'$]{1,200}",
        "openssl rsa -passin pass:{12}",
        "openssl rsa -passin env:X",
    ),
    Shape(
        "htpasswd -b",
        "htpasswd",
        r"(\bhtpasswd[ \t]{1,4}-[a-zA-Z]{0,4}b[a-zA-Z]{0,4}[ \t]{1,4}\S{1,100}[ \t]{1,4}"
        r"(?:\S{1,64}[ \t]{1,4})?[\"']?)[^\s\"']{1,200}",
        "htpasswd -cb file bob {12}",
        "htpasswd -c file bob",
    ),
    Shape(
        "chpasswd",
        "chpasswd",
        r"(\becho[ \t]{1,4}(?:-n[ \t]{1,4})?[\"']?[\w.-]{1,32}:)"
        r"[^\s\"'|]{1,200}(?:[\"']?\s{0,4}\|)",
        "echo 'bob:{12}' | chpasswd",
        "chpasswd --help",
    ),
    Shape(
        "a password from stdin",
        "|",
        r"(\b(?:echo|printf)[ \t]{1,4}(?:-n[ \t]{1,4}|[\"']?%s(?:\\n)?[\"']?[ \t]{1,4})?)"
        r"[\"']?[^\s\"'|$;&]{3,200}[\"']?[ \t]{0,4}\|[ \t]{0,4}"
        r"(?:sudo[ \t]{1,4}-\w{0,4}S|(?:npx[ \t]{1,4})?(?:docker|podman|nerdctl|helm|crane|skopeo"
        r"|npm|gh|glab|oras|cryptsetup|gpg|wrangler|gcloud|vercel|fly|flyctl|kubectl|pass|vault|aws"
        r"|az|su|passwd|smbpasswd|base64|openssl|ssh-add|kinit|argon2|op|bw|doppler|mkpasswd)\b)",
        "echo {12} | docker login -u me --password-stdin",
        "echo ok | cat",
    ),
    Shape(
        "netrc",
        "password",
        r"(?i)(\b(?:login|account)[ \t\n]{1,4}\S{1,100}\s{1,8}password[ \t]{1,4})"
        r"\S{1,256}",
        "machine x login bob password {12}",
        "login with your password",
    ),
    Shape(
        "netrc without a login",
        "machine",
        r"(?i)(\bmachine[ \t]{1,4}\S{1,100}\s{1,8}password[ \t]{1,4})\S{1,256}",
        "machine x password {12}",
        "the machine password",
    ),
    Shape(
        "redis.conf",
        "e",
        r"(?m)(^[ \t]{0,8}(?:requirepass|masterauth)[ \t]{1,8}[\"']?)[^\s\"'$]{1,256}",
        "requirepass {12}",
        "# requirepass",
    ),
    Shape(
        "Dockerfile",
        "env",
        r"(?m)(^[ \t0-9:→|]{0,16}(?:ENV|ARG|SetEnv)[ \t]{1,8}[A-Z0-9_]{0,64}"
        r"(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|KEY|PWD|CREDENTIALS)[A-Z0-9_]{0,16}[ \t]{1,8})"
        r"[^\s$][^\n]{0,400}",
        "ENV DB_PASSWORD {12}",
        "ENV PATH /usr/bin",
    ),
    Shape(
        "SQL",
        "'",
        r"(?i)(\b(?:identified[ \t]{1,4}(?:with[ \t]{1,4}\w{1,40}[ \t]{1,4})?by"
        r"(?:[ \t]{1,4}password)?"
        r"|(?:encrypted[ \t]{1,4})?password|set[ \t]{1,4}password)[ \t]{1,4}')[^'\n]{1,256}",
        "CREATE USER x IDENTIFIED BY '{12}'",
        "identified by x",
    ),
    Shape(
        "SQL PASSWORD()",
        "password(",
        r"(?i)(\bpassword\([ ]?['\"])[^'\"\n]{1,256}",
        "SET PASSWORD = PASSWORD('{12}')",
        "password(self)",
    ),
    Shape(
        "pgpass",
        ":",
        r"(?m)(^[ \t0-9→|]{0,12}[\w.*-]{1,100}:(?:[0-9]{2,5}|\*):[\w*.-]{1,64}:[\w*.-]{1,64}:)"
        r"[^\s:]{1,256}$",
        "db.example.org:5432:shop:bob:{12}",
        "src/app.py:12:5:E501:",
    ),
    Shape(
        "told in a sentence",
        " is ",
        r"(?i)(\b(?:password|passphrase|passcode|secret|token|api[ -]?key|credentials?)"
        r"[ ](?:is|was|are|to|as)[: ]{1,3}[`\"']?)(?:[^\s`\"']{0,60}[0-9!@#$%^&*][^\s`\"']{0,256}"
        r"|(?:`|\"|')[^\s`\"']{1,256})",
        "the password is {10}9",
        "the token is invalid",
    ),
    Shape(
        "gcloud, aws and npm configure",
        "set",
        r"(?i)(\b(?:configure|config)[ \t]{1,4}set[ \t]{1,4}(?:--secret[ \t]{1,4})?\S{0,100}"
        r"(?:password|secret|token|[Kk]ey|_auth)\w{0,24}[ \t=]{1,4}[\"']?)"
        r"[^\s\"'$-][^\s\"']{3,256}",
        "aws configure set aws_secret_access_key {40}",
        "git config set user.name x",
    ),
    Shape(
        "session cookie",
        "=",
        r"(?i)(\b(?:JSESSIONID|PHPSESSID|connect\.sid|sessionid|csrftoken|laravel_session"
        r"|__Secure-[\w.-]{1,40}|__Host-[\w.-]{1,40}|_gitlab_session|user_session|remember_token)="
        r"[\"']?)[A-Za-z0-9%_+/=:.-]{16,}",
        "sessionid={32}",
        "sessionid=None",
    ),
    Shape(
        "signed URL",
        "=",
        r"(?i)((?:[?&;]|%3F|%26)(?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature|access_token"
        r"|token|key|api_?key|auth|code|client_secret|password|hapikey)(?:=|%3D))[^\s\"'&#;<>]{8,}",
        "https://x.blob.core.windows.net/c?sv=2024&sig={44}",
        "https://example.org/?page=2",
    ),
    Shape(
        "setuid shadow",
        "$",
        r"(?m)(^[a-z_][a-z0-9_-]{0,31}:)[$!*][^:\n]{8,256}:[0-9]{0,6}:",
        "root:$y$j9T${60}:19000:0:99999:7:::",
        "root:x:0:0:root:/root:/bin/bash",
    ),
)

OPTIONS: Final = (
    Option(
        "curl",
        r"([ \t](?:-[a-zA-Z]{0,6}[uU]|--user|--proxy-user)[ \t=]{0,3}[\"']?[^\s:\"']{0,64}:)"
        r"[^\s\"'$][^\s\"']{0,256}",
        "curl -s -u admin:{12} https://example.org",
        "curl -s https://example.org",
    ),
    Option(
        "mysql|mysqldump|mysqladmin|mysqlimport|mysqlsh|mariadb|mariadb-dump|mariadb-admin",
        r"([ \t]-p[\"']?)[^\s\"'$][^\s\"']{2,256}",
        "mysql -u root -p{12} shop",
        "mysql -u root -p shop",
    ),
    Option(
        "docker|podman|helm|az|oc|cf|mongo|mongosh|mongodump|sqlcmd|zip|unzip|bcp|crane|skopeo",
        r"([ \t]-[pP][ \t]{1,4}[\"']?)[0-9]{0,16}[^\s\"'$0-9/.:-][^\s\"':]{2,256}",
        "docker login -u me -p {16}",
        "docker run -p 8080:80 nginx",
    ),
    Option("7z|7za|7zz", r"([ \t]-p)[^\s]{1,256}", "7z a -p{12} x.7z", "7z x a.7z"),
    Option(
        "redis-cli|valkey-cli|keydb-cli",
        r"([ \t]-a[ \t]{1,4}[\"']?)[^\s\"'$]{1,256}",
        "redis-cli -h cache -a {12} ping",
        "redis-cli -h cache ping",
    ),
    Option(
        "ldapsearch|ldapmodify|ldapadd|ldapdelete|ldapwhoami|ldappasswd",
        r"([ \t]-[ws][ \t]{1,4}[\"']?)[^\s\"'$]{1,256}",
        "ldapsearch -x -D cn=admin -w {12}",
        "ldapsearch -x",
    ),
    Option(
        "openssl",
        r"([ \t]-[kK][ \t]{1,4}[\"']?)[^\s\"'$-][^\s\"']{0,256}",
        "openssl enc -aes-256-cbc -k {12}",
        "openssl enc -d -kfile x",
    ),
    Option(
        "smbclient|rpcclient|net|winexe",
        r"([ \t](?:-U|--user=?)[ \t]{0,4}[\"']?[\w\\.-]{1,64}%)[^\s\"']{1,256}",
        "smbclient //h/s -U bob%{12}",
        "smbclient //h/s -U bob",
    ),
)

# What our own redaction finds by looking around, in the words of a language that cannot: the
# collector gets these in place of the code of `named_secrets`, `url_secrets`, `private_keys`.
DOCUMENTS: Final = (
    Shape(
        "Password in a URL",
        "://",
        r"://[^/\s:@\"']{0,64}:[^/\s\"'@]{1,256}@",
        "postgres://bob:{12}@db/shop",
        "http://example.org:80/@x",
    ),
    Shape(
        "Private key",
        "-----BEGIN",
        r"-----BEGIN[ A-Z0-9_-]{0,64}PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END[^-]{0,80}-----)?",
        "-----BEGIN PRIVATE KEY-----\n{64}\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----",
    ),
    Shape(
        "Named secret in quotes",
        "=",
        r"(?i)(?:pass(?:word|wd|phrase)|secret|api[_.-]?key|(?:access|auth|refresh|bearer)[_-]?token"
        r"|private[_-]?key|credential|authorization)[\w.-]{0,40}\\*[\"']?\s{0,4}(?::=|=>|[:=])\s{0,4}"
        r"(?:\\*\"[^\"]{1,1000}\"|\\*'[^']{1,1000}')",
        'db_password = "{12}"',
        "password()",
    ),
    Shape(
        "Named secret",
        "=",
        r"(?i)(?:pass(?:word|wd|phrase)|_pass|_pwd|secret|api[_.-]?key|[_-]token|private[_-]?key"
        r"|credential|authorization)[\w.-]{0,40}[ ]{0,2}[:=][ ]{0,2}[^\s\"',;&]{4,1000}",
        "DB_PASSWORD={12}",
        "secret santa",
    ),
)
