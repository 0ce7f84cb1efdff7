"""Reads the section ``fimble`` of the editor's settings when it changes while the server runs.

Some editors push the settings with ``workspace/didChangeConfiguration``. Others only announce a change, and
the server requests the settings with ``workspace/configuration``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.protocol import StrictProtocol
from lsp_server.settings import SECTION, setting_names

_TIMEOUT_SECONDS: Final = 1.0  # seconds


def pushed_settings(params: object) -> Mapping[str, object] | None:
    """Our settings in the parameters of ``workspace/didChangeConfiguration``; None if it has none.

    Editors send ``{"fimble": {…}}``, or only the content of the section.
    """
    settings = params.get("settings") if isinstance(params, Mapping) else None
    if not isinstance(settings, Mapping):
        return None
    section = settings.get(SECTION)
    if isinstance(section, Mapping):
        return section
    return settings if any(name in settings for name in setting_names()) else None


async def pull_settings(protocol: StrictProtocol) -> object:
    """Request our section from an editor with the capability ``workspace.configuration``; None if empty."""
    params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
    request = protocol.send_request_async(types.WORKSPACE_CONFIGURATION, params)
    try:
        answer = await asyncio.wait_for(request, _TIMEOUT_SECONDS)
    except (JsonRpcException, asyncio.TimeoutError):
        return None
    return answer[0] if isinstance(answer, list) and answer else None


async def register_for_changes(protocol: StrictProtocol) -> None:
    """Ask the editor to notify us when our section changes."""
    options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
    method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
    params = types.RegistrationParams([types.Registration("fimble/configuration", method, options)])
    request = protocol.send_request_async(types.CLIENT_REGISTER_CAPABILITY, params)
    try:
        await asyncio.wait_for(request, _TIMEOUT_SECONDS)
    except (JsonRpcException, asyncio.TimeoutError):
        return  # the settings then stay as they are
