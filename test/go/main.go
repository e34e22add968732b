// Command client plays one scenario with the client of the A2A project's own SDK for Go over one binding, and prints
// what it saw as one line of JSON.
//
// usage: client BASE_URL JSONRPC|HTTP+JSON|GRPC
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log"
	"os"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	a2agrpc "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The SDK's errors by their names.
var names = map[string]error{
	"ErrTaskNotFound":                 a2a.ErrTaskNotFound,
	"ErrTaskNotCancelable":            a2a.ErrTaskNotCancelable,
	"ErrPushNotificationNotSupported": a2a.ErrPushNotificationNotSupported,
	"ErrUnsupportedOperation":         a2a.ErrUnsupportedOperation,
	"ErrUnsupportedContentType":       a2a.ErrUnsupportedContentType,
	"ErrInvalidParams":                a2a.ErrInvalidParams,
	"ErrInvalidRequest":               a2a.ErrInvalidRequest,
	"ErrInternalError":                a2a.ErrInternalError,
	"ErrServerError":                  a2a.ErrServerError,
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	seen, err := play(ctx, os.Args[1], a2a.TransportProtocol(os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		log.Fatal(err)
	}
}

func play(ctx context.Context, url string, binding a2a.TransportProtocol) (map[string]any, error) {
	card, err := agentcard.DefaultResolver.Resolve(ctx, url)
	if err != nil {
		return nil, err
	}
	client, err := a2aclient.NewFromCard(ctx, card,
		a2aclient.WithConfig(a2aclient.Config{PreferredTransports: []a2a.TransportProtocol{binding}}),
		a2agrpc.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
	)
	if err != nil {
		return nil, err
	}
	defer client.Destroy()
	seen := map[string]any{}

	sent, err := sendForTask(ctx, client, say("hello"))
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	seen["send"] = []string{brief(sent), sent.Artifacts[0].Parts[0].Text()}
	reply, err := client.SendMessage(ctx, say("reply hi"))
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	seen["reply"] = brief(reply)

	events, err := collect(client.SendStreamingMessage(ctx, say("stream 3 5")))
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	// The stream may begin before or after the agent is at work.
	told := []string{}
	for _, event := range events {
		if brief(event) != "status TASK_STATE_WORKING" {
			told = append(told, brief(event))
		}
	}
	seen["stream"] = told

	got, err := client.GetTask(ctx, &a2a.GetTaskRequest{ID: sent.ID})
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	seen["get"] = []any{brief(got), got.ID == sent.ID, got.History[0].Parts[0].Text()}
	// Over gRPC the SDK sends a page size that is not set as 0, which the contract does not allow.
	list := a2a.ListTasksRequest{ContextID: sent.ContextID, IncludeArtifacts: true, PageSize: 10}
	page, err := client.ListTasks(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	seen["list"] = []any{page.Tasks[0].ID == sent.ID, len(page.Tasks[0].Artifacts), page.TotalSize, page.NextPageToken}

	asked, err := sendForTask(ctx, client, say("ask what?"))
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	answered, err := sendForTask(ctx, client, sayTo(asked, "this"))
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	seen["multi-turn"] = []string{brief(asked), brief(answered)}
	if asked, err = sendForTask(ctx, client, say("ask what?")); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	canceled, err := client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: asked.ID})
	if err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	seen["cancel"] = brief(canceled)

	long := say("count 5 100")
	long.Config = &a2a.SendMessageConfig{ReturnImmediately: true}
	running, err := sendForTask(ctx, client, long)
	if err != nil {
		return nil, fmt.Errorf("send at once: %w", err)
	}
	watched, err := collect(client.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: running.ID}))
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	seen["subscribe"] = []any{brief(watched[0]), brief(watched[len(watched)-1]), watched[0].TaskInfo().TaskID == running.ID}

	seen["errors"] = refusals(ctx, client, sent, canceled)
	return seen, nil
}

func refusals(ctx context.Context, client *a2aclient.Client, ended, canceled *a2a.Task) map[string]string {
	file := a2a.NewRawPart([]byte("x"))
	file.MediaType = "video/mp4"
	_, unknown := client.GetTask(ctx, &a2a.GetTaskRequest{ID: "nowhere"})
	_, twice := client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: canceled.ID})
	_, more := client.SendMessage(ctx, sayTo(ended, "more"))
	_, stream := collect(client.SendStreamingMessage(ctx, sayTo(ended, "more")))
	_, subscription := collect(client.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: ended.ID}))
	_, missing := collect(client.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: "nowhere"}))
	_, media := client.SendMessage(ctx, &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, file)})
	_, token := client.ListTasks(ctx, &a2a.ListTasksRequest{PageToken: "forged", PageSize: 10})
	_, push := client.CreateTaskPushConfig(ctx, &a2a.PushConfig{TaskID: ended.ID, URL: "https://example.com"})
	return map[string]string{
		"unknown task":                  name(unknown),
		"canceled twice":                name(twice),
		"message to an ended task":      name(more),
		"stream to an ended task":       name(stream),
		"subscription to an ended task": name(subscription),
		"subscription to no task":       name(missing),
		"media type":                    name(media),
		"page token":                    name(token),
		"page token, the text":          text(token),
		"push":                          name(push),
	}
}

func say(text string) *a2a.SendMessageRequest {
	return &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(text))}
}

func sayTo(task *a2a.Task, text string) *a2a.SendMessageRequest {
	return &a2a.SendMessageRequest{Message: a2a.NewMessageForTask(a2a.MessageRoleUser, task, a2a.NewTextPart(text))}
}

func sendForTask(ctx context.Context, client *a2aclient.Client, request *a2a.SendMessageRequest) (*a2a.Task, error) {
	result, err := client.SendMessage(ctx, request)
	if err != nil {
		return nil, err
	}
	task, ok := result.(*a2a.Task)
	if !ok {
		return nil, fmt.Errorf("a task was expected, not %s", brief(result))
	}
	return task, nil
}

func collect(stream iter.Seq2[a2a.Event, error]) ([]a2a.Event, error) {
	events := []a2a.Event{}
	for event, err := range stream {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func brief(event a2a.Event) string {
	switch value := event.(type) {
	case *a2a.Task:
		return "task " + string(value.Status.State)
	case *a2a.Message:
		return "message " + value.Parts[0].Text()
	case *a2a.TaskStatusUpdateEvent:
		return "status " + string(value.Status.State)
	case *a2a.TaskArtifactUpdateEvent:
		return "artifact"
	default:
		return fmt.Sprintf("%T", event)
	}
}

func text(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// The name of the SDK's error; for any other error its text.
func name(err error) string {
	if err == nil {
		return "no error"
	}
	for name, known := range names {
		if errors.Is(err, known) {
			return name
		}
	}
	return err.Error()
}
