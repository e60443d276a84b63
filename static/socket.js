// The WebSocket, which is htmx's: it comes with the element that asks for it and
// goes with it. When to connect again is decided in live.js.
import { $ } from './page.js';
import { htmx } from './htmx.js';

let current = null; // the rung that the events of htmx are for
let connection;

// place puts a new element in place of the old, with a connection or without.
const place = address => {
	connection?.socket?.close(1000);
	connection = undefined;
	const old = $('live');
	const fresh = old.cloneNode();
	fresh.removeAttribute('data-htmx-powered');
	fresh.removeAttribute('hx-ws:connect');
	if (address) fresh.setAttribute('hx-ws:connect', address);
	old.replaceWith(fresh);
	htmx.process(fresh);
};

// openSocket is the first rung: see live.js. It fails where nothing opens in time.
export const openSocket = (line, within) => {
	const timer = setTimeout(() => line.failed(openSocket, true), within);
	current = {
		opens() {
			clearTimeout(timer);
			line.works(openSocket);
		},
		closes(code) {
			if (code >= 4000) line.over();
			else line.failed(openSocket);
		},
		line,
	};
	place(line.address());
	return () => {
		clearTimeout(timer);
		current = null;
		place();
	};
};

export const startSocket = () => {
	const on = (name, act) => document.addEventListener('htmx:ws:' + name, event => {
		if (current) act(event.detail, event);
	});
	on('before:connection', detail => {
		connection = detail.connection;
		connection.url = socketAddress(current.line.address());
	});
	on('after:connection', () => current.opens());
	on('before:message:incoming', detail => {
		current.line.beat();
		if (detail.message.data === ' ') detail.cancelled = true;
	});
	on('after:message:incoming', detail => current.line.took(detail.message.data));
	on('close', ({ code, reason }) => {
		if (reason === 'closed') current.closes(code);
	});
};

const socketAddress = address => new URL(address, location.href).href.replace(/^http/, 'ws');

// look looks whether a WebSocket can be had, and calls found if so. It returns
// what stops that.
export const look = (address, found) => {
	const probe = new WebSocket(socketAddress(address));
	probe.addEventListener('open', found);
	return () => {
		probe.removeEventListener('open', found);
		probe.close();
	};
};
