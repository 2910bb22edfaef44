package main

import (
	"encoding/json"
	"errors"
)

// load gives the function, or says why there is none.
func load() (Handler, error) {
	return func(_ Context, event json.RawMessage) (any, error) {
		var asked struct{ Name string }
		if err := json.Unmarshal(event, &asked); err != nil {
			return nil, err
		}
		if asked.Name == "" {
			return nil, errors.New("no name in the event")
		}
		return map[string]string{"message": "Hello, " + asked.Name + ", from Go!"}, nil
	}, nil
}
