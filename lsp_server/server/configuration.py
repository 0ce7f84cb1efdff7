"""Settings that an editor changes while the server runs.

workspace ▶ **configuration** ▶ {settings, protocol}. Some editors push them with the notification of a
change, others only say that there is one and want to be asked. What counts is the section ``fimble``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.protocol import StrictProtocol
from lsp_server.settings import setting_names

SECTION: Final = "fimble"

_PATIENCE: Final = 1.0  # seconds


def pushed(params: object) -> Mapping[str, object] | None:
    """Our settings among those of ``workspace/didChangeConfiguration``; None where there are none of ours.

    Editors send them as ``{"fimble": {…}}``, some the section's content alone.
    """
    settings = params.get("settings") if isinstance(params, Mapping) else None
    if not isinstance(settings, Mapping):
        return None
    section = settings.get(SECTION)
    if isinstance(section, Mapping):
        return section
    return settings if any(name in settings for name in setting_names()) else None


async def pulled(protocol: StrictProtocol) -> object:
    """What an editor with the capability ``workspace.configuration`` has in our section; None for nothing."""
    params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
    asking = protocol.send_request_async(types.WORKSPACE_CONFIGURATION, params)
    try:
        answer = await asyncio.wait_for(asking, _PATIENCE)
    except (JsonRpcException, asyncio.TimeoutError):
        return None
    return answer[0] if isinstance(answer, list) and answer else None


async def register(protocol: StrictProtocol) -> None:
    """Ask the editor to tell when our section changes."""
    options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
    method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
    params = types.RegistrationParams([types.Registration("fimble/configuration", method, options)])
    asking = protocol.send_request_async(types.CLIENT_REGISTER_CAPABILITY, params)
    try:
        await asyncio.wait_for(asking, _PATIENCE)
    except (JsonRpcException, asyncio.TimeoutError):
        return  # then it tells nothing, and the settings stay as they are
