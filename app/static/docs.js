// Nothing leaves the relay: no validator badge, and the key stays in this tab's memory.
SwaggerUIBundle({
  url: "openapi.json?webhooks=1",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: false,
  validatorUrl: null,
});
