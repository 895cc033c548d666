// Shows the code samples of an operation above its responses.
const CodeSamples = () => ({
  wrapComponents: {
    responses: (Responses, system) => (props) => {
      const { createElement } = system.React;
      const operation = system.specSelectors.specJson().getIn(["paths", props.path, props.method]);
      const samples = operation ? operation.get("x-codeSamples") : undefined;
      const shown = samples
        ? samples.toJS().map(({ label, source }) =>
            createElement(
              "details",
              { key: label, className: "code-sample" },
              createElement("summary", null, label),
              createElement("pre", null, createElement("code", null, source)),
            ),
          )
        : [];
      return createElement("div", null, ...shown, createElement(Responses, props));
    },
  },
});

// Nothing leaves the relay: no validator badge, and the key stays in this tab's memory.
SwaggerUIBundle({
  url: "openapi.json?webhooks=1",
  dom_id: "#docs",
  plugins: [CodeSamples],
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: false,
  validatorUrl: null,
});
