"""Resolves an agent's card with the a2a-sdk client of version 0.3, then asks for the extended one, and prints what the client knows of both as one line of JSON.

usage: resolve_card_v03.py BASE_URL
"""

import asyncio
import json
import sys

import httpx
from a2a.client.card_resolver import A2ACardResolver
from a2a.client.client import ClientConfig
from a2a.client.client_factory import ClientFactory


async def main(base_url):
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, base_url).get_agent_card()
        known = card.model_dump(mode="json", exclude_none=True)
        extended = await ClientFactory(ClientConfig(httpx_client=http)).create(card).get_card()
    print(json.dumps({"card": known, "extended": extended.model_dump(mode="json", exclude_none=True)}))


asyncio.run(main(*sys.argv[1:]))
