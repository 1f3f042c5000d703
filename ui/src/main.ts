// The entry point: styles, connection, page.
// included here, because most pages need it: no separate request
import "./lib/amount.ts";
import { mount } from "svelte";

import "./app.css";
import App from "./App.svelte";
import { connect } from "./lib/live.svelte.ts";

connect();
mount(App, { target: document.getElementById("app")! });
