"""What is never shown to a model, and that ordinary code is."""

from __future__ import annotations

import pytest

from lsp_server.context.exclusions import MAX_LINE_LENGTH, allowed_lines, is_excluded


@pytest.mark.parametrize(
    "uri",
    [
        "file:///w/.env",
        "file:///w/.env.local",
        "file:///w/prod.env",
        "file:///w/server.pem",
        "file:///C%3A/w/deploy.key",
        "file:///home/ada/.ssh/config",
        "file:///home/ada/.aws/credentials",
        "file:///home/ada/id_ed25519",
        "file:///w/secrets.yaml",
        "file:///w/Credentials.json",
        "file:///home/ada/.netrc",
        "file:///w/main.tfvars",
        "git:/w/main.py?ref=HEAD",
        "output:extension-output",
    ],
)
def test_files_that_hold_secrets_and_other_windows_are_left_out(uri: str) -> None:
    assert is_excluded(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///w/main.py",
        "file:///w/environment.py",
        "file:///w/secret_sharing.py",
        "file:///w/keys.py",
        "file:///w/token.ts",
        "untitled:Untitled-1",
        "vscode-remote://ssh-remote%2Bhost/w/main.py",
    ],
)
def test_other_documents_are_shown(uri: str) -> None:
    assert not is_excluded(uri)


@pytest.mark.parametrize(
    "line",
    [
        'PASSWORD = "hunter2hunter2"',
        "  api_key: 'abcdefgh12345678',",
        'db_password: str = "correct-horse"',
        '"client_secret": "0123456789abcdef",',
        "config['token'] = 'abcdefghijkl'",
        "-----BEGIN RSA PRIVATE KEY-----",
        "aws = AKIAIOSFODNN7EXAMPLE",
        "x = 'ghp_0123456789abcdefghij0123456789'",
        "url = 'postgres://ada:lovelace1@db/prod'",
        "a" * (MAX_LINE_LENGTH + 1),
    ],
)
def test_secrets_and_endless_lines_are_left_out(line: str) -> None:
    assert allowed_lines(["before", line, "after"]) == ["before", "after"]


@pytest.mark.parametrize(
    "line",
    [
        "password = getpass()",
        "token: str",
        "def token(self) -> Token:",
        'api_key = os.environ["API_KEY"]',
        "for key, value in pairs:",
        "see https://example.org/a:b@c",
        'secret = ""',
        'monkey = "bananas in pyjamas"',
        "",
    ],
)
def test_ordinary_code_is_shown(line: str) -> None:
    assert allowed_lines([line]) == [line]
