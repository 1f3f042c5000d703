// The start: the styles, the connection, the page.
import { mount } from "svelte";

import "./app.css";
import App from "./App.svelte";
import { connect } from "./lib/live.svelte.ts";

connect();
mount(App, { target: document.getElementById("app")! });
