// A Lambda runtime in Go's standard library: load the function, then ask for an event, answer it, again.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// Context is what the Runtime API tells of an event besides the event.
type Context struct {
	RequestID  string
	DeadlineMS json.Number
}

// Handler answers an event with a value that becomes JSON, or with an io.Reader that is streamed.
type Handler func(Context, json.RawMessage) (any, error)

const (
	typeHeader  = "Lambda-Runtime-Function-Error-Type"
	bodyTrailer = "Lambda-Runtime-Function-Error-Body"
	modeHeader  = "Lambda-Runtime-Function-Response-Mode"
)

var api = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"

func main() {
	handler, err := load()
	if err != nil {
		report("init/error", err)
		os.Exit(1)
	}
	for {
		context, event, err := next()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answer, err := handler(context, event)
		if err != nil {
			report("invocation/"+context.RequestID+"/error", err)
			continue
		}
		path := "invocation/" + context.RequestID + "/response"
		if stream, ok := answer.(io.Reader); ok {
			send(path, stream)
			continue
		}
		body, err := json.Marshal(answer)
		if err != nil {
			report("invocation/"+context.RequestID+"/error", err)
			continue
		}
		post(path, body, nil)
	}
}

func next() (Context, json.RawMessage, error) {
	answer, err := http.Get(api + "invocation/next")
	if err != nil {
		return Context{}, nil, err
	}
	defer answer.Body.Close()
	event, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("next: %s", answer.Status)
	}
	context := Context{
		RequestID:  answer.Header.Get("Lambda-Runtime-Aws-Request-Id"),
		DeadlineMS: json.Number(answer.Header.Get("Lambda-Runtime-Deadline-Ms")),
	}
	return context, event, err
}

func describe(err error) []byte {
	body, _ := json.Marshal(map[string]string{"errorType": fmt.Sprintf("%T", err), "errorMessage": err.Error()})
	return body
}

func report(path string, err error) {
	post(path, describe(err), http.Header{typeHeader: {fmt.Sprintf("%T", err)}})
}

func post(path string, body []byte, headers http.Header) {
	request, err := http.NewRequest("POST", api+path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	for name, values := range headers {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	do(request)
}

// send streams: a chunked request whose trailers tell of an error that came after the first byte.
func send(path string, stream io.Reader) {
	failing := &failure{stream: stream, trailer: http.Header{typeHeader: nil, bodyTrailer: nil}}
	request, err := http.NewRequest("POST", api+path, failing)
	if err != nil {
		panic(err)
	}
	request.Header.Set(modeHeader, "streaming")
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Trailer = failing.trailer
	do(request)
}

// failure ends a stream that fails as if it were whole, and puts the error into the trailers.
type failure struct {
	stream  io.Reader
	trailer http.Header
}

func (f *failure) Read(buffer []byte) (int, error) {
	count, err := f.stream.Read(buffer)
	if err != nil && err != io.EOF {
		f.trailer.Set(typeHeader, fmt.Sprintf("%T", err))
		f.trailer.Set(bodyTrailer, base64.StdEncoding.EncodeToString(describe(err)))
		err = io.EOF
	}
	return count, err
}

func do(request *http.Request) {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
