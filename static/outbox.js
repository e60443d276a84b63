// The outbox: posts on their way, each under its key, so that none can be made
// twice, not even by another tab. They leave one after the other, in the order in
// which they were written, and wait here over a bad line, a reload and a killed
// server till one of our own answers says what has become of them.
import { $, local } from './page.js';
import { pause, post } from './answers.js';
import { htmx } from './htmx.js';

const SEND_WITHIN = 30000; // ms for an answer, before the post is tried again

// newKey returns a key that begins with the time: see newPostKey on the server.
export const newKey = () => Date.now().toString(36) +
	Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(36).padStart(2, '0')).join('');

// startOutbox returns the outbox of a room. Its events are 'add' for a new post,
// 'done' when one has come through, 'lost' when nothing answers, and 'edit' for a
// text that goes back to the box.
export const startOutbox = (drawer, line) => {
	const composer = $('composer');
	const words = $('state').dataset;
	const events = new EventTarget();
	const tell = name => events.dispatchEvent(new Event(name));

	// An item has the fields of its post and the time at which it was written; an
	// error once it is refused; and while it is sent for the box, which still holds
	// the text, it is quiet.
	const name = item => drawer + 'post:' + item.fields.key;
	let items = local.names(drawer + 'post:').map(local.get).filter(item => item?.fields).sort((a, b) => a.at - b.at);
	const save = ({ fields, at }) => local.set(drawer + 'post:' + fields.key, { fields, at });
	const forget = item => {
		items = items.filter(other => other !== item);
		local.remove(name(item));
		show();
	};

	const show = () => $('outbox').replaceChildren(...items.filter(item => !item.quiet).map(item => {
		const row = document.createElement('li');
		const text = document.createElement('p');
		const note = document.createElement('small');
		text.textContent = item.fields.body;
		text.dir = 'auto';
		note.textContent = item.error ?? (item.sending ? words.sending : words.pending);
		row.append(text, note);
		row.className = item.error === undefined ? 'waiting' : 'failed';
		if (item.error !== undefined) row.append(button(words.retry, () => retry(item)), button(words.edit, () => edit(item)));
		return row;
	}));
	const button = (text, act) => {
		const element = document.createElement('button');
		element.type = 'button';
		element.className = 'quiet';
		element.textContent = text;
		element.addEventListener('click', act);
		return element;
	};
	const retry = item => {
		delete item.error;
		show();
		flush();
	};
	const edit = item => {
		forget(item);
		events.dispatchEvent(new CustomEvent('edit', { detail: item.fields.body }));
	};

	let sending = false;
	let failures = 0;
	let timer;
	let until = 0; // an answer of ours has asked to wait till then
	const flush = async () => {
		if (sending || Date.now() < until) return;
		clearTimeout(timer);
		sending = true;
		for (let item; (item = items.find(i => i.error === undefined));) {
			item.sending = true;
			show();
			const answer = await post(composer.action, item.fields, { signal: AbortSignal.timeout(SEND_WITHIN) });
			item.sending = false;
			if (answer.verdict === 'waits') {
				later(answer);
				item.settle?.(answer);
				break;
			}
			failures = 0;
			if (answer.verdict === 'done') await done(item, answer);
			else refused(item, answer);
			item.settle?.(answer);
		}
		sending = false;
		show();
	};
	const later = answer => {
		const wait = pause(failures++, answer.retryAfter);
		if (answer.retryAfter) until = Date.now() + wait;
		clearTimeout(timer);
		timer = setTimeout(flush, wait + 1);
		if (!answer.reached) tell('lost');
	};
	const done = async (item, answer) => {
		forget(item);
		tell('done');
		// The row comes by the live connection as well, so it may not matter.
		if (answer.text) await htmx.swap({ sourceElement: composer, target: '#messages', swap: 'upsert', text: answer.text, transition: false }).catch(() => {});
	};
	const refused = (item, answer) => {
		// The key has been used for another text: this one needs its own.
		if (answer.status === 409 && !item.renamed) {
			local.remove(name(item));
			item.renamed = true;
			item.fields.key = newKey();
			save(item);
			return;
		}
		const said = new DOMParser().parseFromString(answer.text, 'text/html');
		item.error = said.querySelector('p')?.textContent || words.failed;
	};

	line.addEventListener('up', flush);
	addEventListener('online', flush);
	addEventListener('pageshow', event => { if (event.persisted) flush(); });
	// Another tab has sent it, or taken it back to be edited.
	addEventListener('storage', event => {
		const item = event.newValue === null && items.find(i => name(i) === event.key);
		if (item && !item.sending) forget(item);
	});
	show();
	flush();

	return Object.assign(events, {
		has: key => items.some(item => item.fields.key === key),
		isEmpty: () => !items.some(item => item.error === undefined),
		// add sends fields when it is their turn. For those that come from the box it
		// is told the first answer, and shows them only once it is asked to.
		add: (fields, settle) => {
			const item = { fields, at: Date.now(), quiet: !!settle, settle };
			items.push(item);
			save(item);
			tell('add');
			flush();
			return item;
		},
		show: item => {
			item.quiet = false;
			delete item.settle;
			show();
		},
		forget,
	});
};

// leave puts a post into the outbox of a room whose page comes next, and reports
// whether it will be there.
export const leave = (drawer, fields) => local.set(drawer + 'post:' + fields.key, { fields, at: Date.now() });
