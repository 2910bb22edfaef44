package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// load gives what `lambdad runtime test` asks of a function; see docs/runtimes.md.
func load() (Handler, error) {
	if os.Getenv("CONFORMANCE_INIT_ERROR") != "" {
		return nil, errors.New("asked to fail")
	}
	return func(context Context, event json.RawMessage) (any, error) {
		var asked struct {
			Conformance string
			MS, Bytes   int
		}
		if err := json.Unmarshal(event, &asked); err != nil {
			return nil, err
		}
		switch asked.Conformance {
		case "echo":
			return event, nil
		case "deadline":
			return map[string]json.Number{"deadline_ms": context.DeadlineMS}, nil
		case "large":
			return strings.Repeat("x", asked.Bytes), nil
		case "sleep":
			time.Sleep(time.Duration(asked.MS) * time.Millisecond)
			return event, nil
		case "stream":
			return pieces(nil), nil
		case "stream-error":
			return pieces(errors.New("asked to fail")), nil
		}
		return nil, errors.New("asked to fail, or unknown here")
	}, nil
}

// pieces is "one two three", then an error, if any.
func pieces(err error) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		for _, piece := range strings.SplitAfter("one two three", " ") {
			io.WriteString(writer, piece)
		}
		writer.CloseWithError(err)
	}()
	return reader
}
