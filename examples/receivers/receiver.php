<?php
// Receives deliveries from cams-relay: `WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:9000 receiver.php`, or put it on your
// web server. Requires only PHP 8.0 or later.

$key = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
// A file for each webhook-id. In production, use a unique column in the table in which you store events.
$seen = (getenv('SEEN_FOLDER') ?: sys_get_temp_dir() . '/cams-relay-seen') . '/';

function is_genuine(string $key, string $id, string $timestamp, string $signatures, string $body): bool
{
    $signed = "$id.$timestamp.$body";
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, binary: true));
    $fresh = ctype_digit($timestamp) && abs(time() - (int) $timestamp) < 300;
    // After a secret was rotated, deliveries have two signatures for a while. One must match.
    $matching = array_filter(explode(' ', $signatures), fn ($given) => hash_equals($expected, $given));
    // If WEBHOOK_SECRET isn't set, the key is empty, and anyone could sign deliveries.
    return $key !== '' && $fresh && count($matching) > 0;
}

$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
if (!is_genuine($key, $id, $timestamp, $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '', $body)) {
    http_response_code(401);
    exit;
}
if (!file_exists($seen . basename($id))) {
    $events = json_decode($body, flags: JSON_THROW_ON_ERROR);
    foreach (is_array($events) ? $events : [$events] as $event) {
        file_put_contents('php://stdout', json_encode($event) . "\n"); // process the event here
    }
    is_dir($seen) || mkdir($seen, 0700, recursive: true);
    touch($seen . basename($id)); // only now, so that a delivery that failed above is retried
}
http_response_code(204);
