"""Resolves an agent's card with the a2a-sdk client, and prints what the client knows of it, in the JSON of version 1.0.

usage: resolve_card.py BASE_URL
"""

import asyncio
import json
import sys

import httpx
from a2a.client.card_resolver import A2ACardResolver
from google.protobuf.json_format import MessageToDict


async def main(base_url):
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, base_url).get_agent_card()
    print(json.dumps(MessageToDict(card)))


asyncio.run(main(*sys.argv[1:]))
