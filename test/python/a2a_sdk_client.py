"""Plays one scenario with the a2a-sdk client over one binding, and prints what it saw as one line of JSON.

usage: a2a_sdk_client.py BASE_URL JSONRPC|HTTP+JSON|GRPC
"""

import asyncio
import json
import sys
import uuid

import grpc
from a2a.client.client import ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.types import a2a_pb2 as pb


def request(text, task_id="", **configuration):
    message = pb.Message(message_id=str(uuid.uuid4()), role=pb.ROLE_USER, task_id=task_id, parts=[pb.Part(text=text)])
    return pb.SendMessageRequest(message=message, configuration=pb.SendMessageConfiguration(**configuration))


def brief(event):
    kind = event.WhichOneof("payload")
    value = getattr(event, kind)
    if kind in ("task", "status_update"):
        return f"{kind} {pb.TaskState.Name(value.status.state)}"
    return kind


async def collected(stream):
    return [event async for event in stream]


async def outcome(awaitable):
    try:
        await awaitable
        return "answered"
    except Exception as error:  # The name of the SDK's error is what is looked at.
        return type(error).__name__


async def main(base_url, binding):
    clients = {}
    for is_streaming in (True, False):
        config = ClientConfig(
            streaming=is_streaming,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
            grpc_channel_factory=grpc.aio.insecure_channel,
        )
        clients[is_streaming] = await ClientFactory(config).create_from_url(base_url)
    streaming, blocking = clients[True], clients[False]
    seen = {}

    (sent,) = await collected(blocking.send_message(request("hello")))
    seen["send"] = [brief(sent), sent.task.artifacts[0].parts[0].text]
    (reply,) = await collected(blocking.send_message(request("reply hi")))
    seen["reply"] = [brief(reply), reply.message.parts[0].text]

    events = await collected(streaming.send_message(request("stream 3 5")))
    # The stream may begin before or after the agent is at work.
    seen["stream"] = [brief(event) for event in events if brief(event) != "status_update TASK_STATE_WORKING"]

    task = await blocking.get_task(pb.GetTaskRequest(id=sent.task.id))
    seen["get"] = [task == sent.task, [message.parts[0].text for message in task.history]]
    page = await blocking.list_tasks(pb.ListTasksRequest(context_id=sent.task.context_id, include_artifacts=True))
    seen["list"] = [[listed.id == sent.task.id for listed in page.tasks], len(page.tasks[0].artifacts), page.total_size, page.next_page_token]

    (asked,) = await collected(blocking.send_message(request("ask what?")))
    (answered,) = await collected(blocking.send_message(request("this", asked.task.id)))
    seen["multi-turn"] = [brief(asked), brief(answered)]
    (asked,) = await collected(blocking.send_message(request("ask what?")))
    canceled = await blocking.cancel_task(pb.CancelTaskRequest(id=asked.task.id))
    seen["cancel"] = pb.TaskState.Name(canceled.status.state)

    (running,) = await collected(blocking.send_message(request("count 5 100", return_immediately=True)))
    watched = await collected(streaming.subscribe(pb.SubscribeToTaskRequest(id=running.task.id)))
    seen["subscribe"] = [brief(watched[0]), brief(watched[-1]), watched[0].task.id == running.task.id]

    file = pb.SendMessageRequest(
        message=pb.Message(message_id=str(uuid.uuid4()), role=pb.ROLE_USER, parts=[pb.Part(raw=b"x", media_type="video/mp4")])
    )
    seen["errors"] = {
        "unknown task": await outcome(blocking.get_task(pb.GetTaskRequest(id="nowhere"))),
        "canceled twice": await outcome(blocking.cancel_task(pb.CancelTaskRequest(id=asked.task.id))),
        "message to an ended task": await outcome(collected(blocking.send_message(request("more", sent.task.id)))),
        "stream to an ended task": await outcome(collected(streaming.send_message(request("more", sent.task.id)))),
        "subscription to an ended task": await outcome(collected(streaming.subscribe(pb.SubscribeToTaskRequest(id=sent.task.id)))),
        "media type": await outcome(collected(blocking.send_message(file))),
        "push": await outcome(
            blocking.create_task_push_notification_config(pb.TaskPushNotificationConfig(task_id=sent.task.id, url="https://example.com"))
        ),
    }
    await streaming.close()
    await blocking.close()
    print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
