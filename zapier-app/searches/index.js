'use strict';

const findAttendance = require('./findAttendance');
const findDevice = require('./findDevice');
const findEmployee = require('./findEmployee');
const findEvent = require('./findEvent');
const findUser = require('./findUser');

const searches = [findUser, findDevice, findEvent, ...findAttendance, findEmployee];

const searchOrCreates = [
	{
		key: 'find_user',
		display: {
			label: 'Find or Add User',
			description: 'Finds a user on a device, or adds one if there is no user with this ID.',
		},
		search: 'find_user',
		create: 'add_user',
	},
];

module.exports = { searches, searchOrCreates };
