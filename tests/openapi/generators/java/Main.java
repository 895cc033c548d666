import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.ActionsApi;
import org.openapitools.client.api.DevicesApi;
import org.openapitools.client.api.EventsApi;
import org.openapitools.client.api.SubscriptionsApi;
import org.openapitools.client.model.AttendancePunchEvent;
import org.openapitools.client.model.Device;
import org.openapitools.client.model.EnableUserBody;
import org.openapitools.client.model.SubscriptionBody;

/** Calls a relay with the client that openapi-generator made. The arguments are its URL, an API key and a device ID. */
public class Main {
    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));

        var devices = new DevicesApi(client).listDevices(DevicesApi.APIListDevicesRequest.newBuilder().build()).getData();
        var command = new ActionsApi(client).enableUser(new EnableUserBody().deviceId(arguments[2]).userId("8"), null);
        var subscription = new SubscriptionsApi(client).createSubscription(
            new SubscriptionBody().targetUrl(URI.create("http://127.0.0.1:9/java")).eventTypes(List.of("attendance.*")));
        var punches = new EventsApi(client).listEvents(
            EventsApi.APIListEventsRequest.newBuilder().type("attendance.punch").build()).getData();
        System.out.println(new ObjectMapper().writeValueAsString(Map.of(
            "devices", devices.stream().map(Device::getDeviceId).toList(),
            "status", command.getStatus().getValue(),
            "target_url", subscription.getTargetUrl(),
            "users", punches.stream().map(each -> ((AttendancePunchEvent) each.getActualInstance()).getUserId()).toList())));
    }
}
