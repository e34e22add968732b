"""Plays one scenario with the a2a-sdk client of version 0.3 over JSON-RPC, found by the server's card, and prints what it saw as one line of JSON.

usage: a2a_sdk_v03_client.py BASE_URL
"""

import asyncio
import base64
import json
import sys
import uuid

import httpx
from a2a.client.client import ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.types import (
    DataPart,
    FilePart,
    FileWithBytes,
    Message,
    Part,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
)


def message(*parts, **ids):
    return Message(message_id=str(uuid.uuid4()), role=Role.user, parts=[Part(root=part) for part in parts], **ids)


def text(value, **ids):
    return message(TextPart(text=value), **ids)


def brief(event):
    if isinstance(event, Message):
        return "message"
    task, update = event
    if update is None:
        return f"task {task.status.state.value}"
    if update.kind == "status-update":
        return f"{update.kind} {update.status.state.value} {'final' if update.final else 'not final'}"
    return update.kind


async def collected(stream):
    return [event async for event in stream]


async def briefs(stream):
    # At once: the client goes on to change the task that it gives.
    all = [brief(event) async for event in stream]
    # The stream may begin before or after the agent is at work.
    return [event for event in all if event != "status-update working not final"]


async def outcome(awaitable):
    try:
        await awaitable
        return "answered"
    except Exception as error:
        inner = getattr(error, "error", None)
        return [type(error).__name__, getattr(inner, "code", None)]


async def main(base_url):
    seen = {}
    async with httpx.AsyncClient(timeout=30) as http:
        blocking = await ClientFactory.connect(base_url, ClientConfig(httpx_client=http, streaming=False))
        streaming = await ClientFactory.connect(base_url, ClientConfig(httpx_client=http, streaming=True))

        ((task, _),) = await collected(blocking.send_message(text("hello")))
        seen["send"] = [task.kind, task.status.state.value, task.artifacts[0].parts[0].root.text]
        (reply,) = await collected(blocking.send_message(text("reply hi")))
        seen["reply"] = [reply.kind, reply.role.value, reply.parts[0].root.text]
        seen["stream"] = await briefs(streaming.send_message(text("stream 3 5")))
        parts = [TextPart(text="hello"), DataPart(data={"n": [1, None]}, metadata={"m": True})]
        ((sent, _),) = await collected(blocking.send_message(message(*parts)))
        got = await blocking.get_task(TaskQueryParams(id=sent.id))
        seen["get"] = [part.root.model_dump(exclude_none=True) for part in got.history[0].parts]

        ((asked, _),) = await collected(blocking.send_message(text("ask what?")))
        ((answered, _),) = await collected(blocking.send_message(text("this", task_id=asked.id, context_id=asked.context_id)))
        seen["multi-turn"] = [asked.status.state.value, asked.status.message.parts[0].root.text, answered.status.state.value]
        ((asked, _),) = await collected(blocking.send_message(text("ask what?")))
        seen["asked stream"] = await briefs(streaming.send_message(text("ask what?")))
        seen["cancel"] = (await blocking.cancel_task(TaskIdParams(id=asked.id))).status.state.value

        polling = await ClientFactory.connect(base_url, ClientConfig(httpx_client=http, streaming=False, polling=True))
        ((running, _),) = await collected(polling.send_message(text("count 5 100")))
        watched = await collected(streaming.resubscribe(TaskIdParams(id=running.id)))
        seen["resubscribe"] = [watched[0][1] is None, brief(watched[-1])]

        file = FilePart(file=FileWithBytes(bytes=base64.b64encode(b"x").decode(), mime_type="video/mp4", name="x.mp4"))
        seen["errors"] = {
            "unknown task": await outcome(blocking.get_task(TaskQueryParams(id="nowhere"))),
            "canceled twice": await outcome(blocking.cancel_task(TaskIdParams(id=asked.id))),
            "message to an ended task": await outcome(collected(blocking.send_message(text("more", task_id=sent.id)))),
            "media type": await outcome(collected(blocking.send_message(message(file)))),
            "push": await outcome(
                blocking.set_task_callback(
                    TaskPushNotificationConfig(task_id=sent.id, push_notification_config=PushNotificationConfig(url="https://example.com"))
                )
            ),
        }
    print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
