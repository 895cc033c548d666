// Calls a relay with the client that oapi-codegen made. The arguments are its URL, an API key and a device ID.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"generated/relay"
)

func main() {
	url, key, deviceID := os.Args[1], os.Args[2], os.Args[3]
	ctx := context.Background()
	signed := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+key)
		return nil
	}
	client, err := relay.NewClientWithResponses(url, relay.WithRequestEditorFn(signed))
	check(err)

	devices, err := client.ListDevicesWithResponse(ctx, nil)
	check(err)
	found := []string{}
	for _, device := range devices.JSON200.Data {
		found = append(found, device.DeviceId)
	}

	command, err := client.EnableUserWithResponse(ctx, nil, relay.EnableUserBody{DeviceId: deviceID, UserId: "8"})
	check(err)

	subscription, err := client.CreateSubscriptionWithResponse(ctx, relay.SubscriptionBody{
		TargetUrl: "http://127.0.0.1:9/oapi", EventTypes: []string{"attendance.*"},
	})
	check(err)

	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"devices": found, "status": command.JSON200.Status, "target_url": subscription.JSON201.TargetUrl,
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
