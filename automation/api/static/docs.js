"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  tagsSorter: undefined,
  // Nothing is sent to anybody else: by default this page asks a validator on the internet about the document.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
