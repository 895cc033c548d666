// Calls a relay with the client that ogen made. The arguments are its URL and an API key.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"generated/relay"

	"github.com/ogen-go/ogen/ogenerrors"
)

type credentials struct{ key string }

func (c credentials) Bearer(context.Context, relay.OperationName) (relay.Bearer, error) {
	return relay.Bearer{Token: c.key}, nil
}

func (c credentials) ApiKey(context.Context, relay.OperationName) (relay.ApiKey, error) {
	return relay.ApiKey{}, ogenerrors.ErrSkipClientSecurity
}

func main() {
	ctx := context.Background()
	client, err := relay.NewClient(os.Args[1], credentials{os.Args[2]})
	check(err)

	types, err := client.ListEventTypes(ctx)
	check(err)
	names := []string{}
	for _, each := range types.(*relay.ListEventTypesOK).Data {
		names = append(names, each.Type)
	}

	events, err := client.ListEvents(ctx, relay.ListEventsParams{Type: relay.NewOptString("attendance.punch")})
	check(err)
	users := []string{}
	for _, event := range events.(*relay.ListEventsOK).Data {
		punch, ok := event.GetAttendancePunchEvent()
		if !ok {
			log.Fatal("an event of another type: ", event.Type)
		}
		users = append(users, punch.UserID)
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"event_types": names, "users": users}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
