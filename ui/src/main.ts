// The start: the styles, the connection, the page.
// most pages need it: here it is no request of its own
import "./lib/amount.ts";
import { mount } from "svelte";

import "./app.css";
import App from "./App.svelte";
import { connect } from "./lib/live.svelte.ts";

connect();
mount(App, { target: document.getElementById("app")! });
