-- A database of automation 0.1.0 (schema 0001), whose engine was killed.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE alerts (
	fingerprint VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	severity VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	annotations TEXT NOT NULL, 
	starts_at DOUBLE NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	fired_at DOUBLE, 
	resolved_at DOUBLE, 
	value DOUBLE, 
	since TEXT NOT NULL, 
	cooldown_until DOUBLE, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_alerts PRIMARY KEY (fingerprint)
);
INSERT INTO "alerts" VALUES('de3e898407e3da62','busy','firing','medium','alerts','a1','{}','{}',1790000000.0,1790000000.0,1790000000.0,NULL,91.5,'[]',1790000060.0,'the condition holds');
CREATE TABLE audit (
	chain VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	at DOUBLE NOT NULL, 
	kind VARCHAR NOT NULL, 
	actor VARCHAR NOT NULL, 
	act VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	detail TEXT NOT NULL, 
	previous VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (chain, seq)
)
 WITHOUT ROWID

;
INSERT INTO "audit" VALUES('main',1,1790000000.0,'configuration_change','local','workflow.register','greet','ok','{"version":"2aa0c4caca21b0f6cc0e8dd1bf2f1942"}','0000000000000000000000000000000000000000000000000000000000000000','1e756b2a83295e13015f690a1e5cd16a422cd737ccb9a3c3dee5c87c83a58e2a');
INSERT INTO "audit" VALUES('main',2,1790000000.0,'configuration_change','local','workflow.register','react','ok','{"version":"fa1b9b33b903633cb0c6b2b4399f0e38"}','1e756b2a83295e13015f690a1e5cd16a422cd737ccb9a3c3dee5c87c83a58e2a','9ad1efb8c80a511bd882f943c1c963ac3d5130ecb5ffddb7529cb984987aa549');
INSERT INTO "audit" VALUES('main',3,1790000000.0,'configuration_change','local','workflow.register','wait','ok','{"version":"36dd5bd258225c85b7ba1950dc5218b9"}','9ad1efb8c80a511bd882f943c1c963ac3d5130ecb5ffddb7529cb984987aa549','4bb67fab6e4765f906afc810dfc8c8c67b9b4ea3a74a55ce12c7d9d51c92f106');
INSERT INTO "audit" VALUES('main',4,1790000000.0,'configuration_change','local','workflow.register','broken','ok','{"version":"b170f17e816ad24d6fe117434be5ba81"}','4bb67fab6e4765f906afc810dfc8c8c67b9b4ea3a74a55ce12c7d9d51c92f106','aceeeb39888d733347a9dd0034e0832d5c53d5eb75d296356ece15229ccbe996');
INSERT INTO "audit" VALUES('main',5,1790000000.0,'configuration_change','local','workflow.register','busy','ok','{"version":"18e7d2e107d1eaaf2da25d2e79a30f9a"}','aceeeb39888d733347a9dd0034e0832d5c53d5eb75d296356ece15229ccbe996','a41b58931111ca8659fb5a9a1e739e21f7bb17ec44edd5c60d1b93744ac538b0');
INSERT INTO "audit" VALUES('main',6,1790000000.0,'configuration_change','local','alert.register','busy','ok','{"version":"4960615e51b4da78a0a17c7f488de6e7"}','a41b58931111ca8659fb5a9a1e739e21f7bb17ec44edd5c60d1b93744ac538b0','90c7b10b3be3753a510298f0a71184c6c29714325ef3ebf9d9c76a0cbfcd225e');
INSERT INTO "audit" VALUES('main',7,1790000000.0,'workflow_execution','local','start','01a2151d-af9e-7448-bc2d-97f472c38100','ok','{"workflow":"greet","reason":"asked for"}','90c7b10b3be3753a510298f0a71184c6c29714325ef3ebf9d9c76a0cbfcd225e','fe213110b239555253c7cb8a12d192c619dfbb26392643a2cb884600ece46fc8');
INSERT INTO "audit" VALUES('main',8,1790000000.0,'action_execution','local','flow.set','01a2151d-af9e-7448-bc2d-97f472c38100','succeeded','{"action":"set","attempt":1}','fe213110b239555253c7cb8a12d192c619dfbb26392643a2cb884600ece46fc8','8468c5286bafd366fdc1523b80ee673d8472d1ac2e39f347eeb1921d2392ed2a');
INSERT INTO "audit" VALUES('main',9,1790000000.0,'workflow_execution','local','end','01a2151d-af9e-7448-bc2d-97f472c38100','succeeded','{"workflow":"greet"}','8468c5286bafd366fdc1523b80ee673d8472d1ac2e39f347eeb1921d2392ed2a','03fb2d57da60fad100fd00b982e60902f79db51d010840e70e80c946ad4475cd');
INSERT INTO "audit" VALUES('main',10,1790000000.0,'workflow_execution','local','start','01a2151d-afe4-7cf5-ac7d-0c41eccd60bc','ok','{"workflow":"greet","reason":"asked for"}','03fb2d57da60fad100fd00b982e60902f79db51d010840e70e80c946ad4475cd','44629026c6750d8fa08954dac427b7edde237c0b93add4882798a89b6cfbebb1');
INSERT INTO "audit" VALUES('main',11,1790000000.0,'workflow_execution','local','start','01a2151d-aff4-717d-be2d-11ed5efcc991','ok','{"workflow":"broken","reason":"asked for"}','44629026c6750d8fa08954dac427b7edde237c0b93add4882798a89b6cfbebb1','2ff5aaacdc4f88ca628ca6c6621359bceb7edaf61c25d01808106a71494c2fa7');
INSERT INTO "audit" VALUES('main',12,1790000000.0,'action_execution','local','flow.set','01a2151d-afe4-7cf5-ac7d-0c41eccd60bc','succeeded','{"action":"set","attempt":1}','2ff5aaacdc4f88ca628ca6c6621359bceb7edaf61c25d01808106a71494c2fa7','96a860e22d4354e9c6ff442200ee7694739f85e066e17f270f261b3248c042c7');
INSERT INTO "audit" VALUES('main',13,1790000000.0,'workflow_execution','local','end','01a2151d-afe4-7cf5-ac7d-0c41eccd60bc','succeeded','{"workflow":"greet"}','96a860e22d4354e9c6ff442200ee7694739f85e066e17f270f261b3248c042c7','db2b9b64224a3253e5b14222c16dbcf3a0e06cf1a4ab9059ce4e59be7d38efcd');
INSERT INTO "audit" VALUES('main',14,1790000000.0,'action_execution','local','flow.fail','01a2151d-aff4-717d-be2d-11ed5efcc991','failed','{"action":"fail","type":"Refused","message":"on purpose","attempt":1}','db2b9b64224a3253e5b14222c16dbcf3a0e06cf1a4ab9059ce4e59be7d38efcd','4798707245bcc46fc81bfb301e9a793789c35b1f7ccc703734db5f180d1db3d3');
INSERT INTO "audit" VALUES('main',15,1790000000.0,'workflow_execution','local','end','01a2151d-aff4-717d-be2d-11ed5efcc991','failed','{"workflow":"broken"}','4798707245bcc46fc81bfb301e9a793789c35b1f7ccc703734db5f180d1db3d3','e2cf2c9f8823f67e49b5a0d887313d9f2e8fe3e541e302ab2a12e6f228461102');
INSERT INTO "audit" VALUES('main',16,1790000000.0,'workflow_execution','test','start','01a2151d-b013-7e5b-a8c3-320c5d69a013','ok','{"workflow":"react","reason":"event thing: event thing of test"}','e2cf2c9f8823f67e49b5a0d887313d9f2e8fe3e541e302ab2a12e6f228461102','3d8ed3e14fe0da76d5335d19f36edba4f9ab5ecbc0991427882d6ee4c7bb8730');
INSERT INTO "audit" VALUES('main',17,1790000000.0,'workflow_execution','alerts','start','01a2151d-b01b-7ca1-81c8-32b05cf87538','ok','{"workflow":"busy","reason":"alert busy firing: event alert.firing of alerts"}','3d8ed3e14fe0da76d5335d19f36edba4f9ab5ecbc0991427882d6ee4c7bb8730','a2156433ca9857bd3302a3f3aaceecd5583d823a7be9697152435628dd2ff417');
INSERT INTO "audit" VALUES('main',18,1790000000.0,'workflow_execution','local','start','01a2151d-b035-7b46-b10c-5cb824070193','ok','{"workflow":"wait","reason":"asked for"}','a2156433ca9857bd3302a3f3aaceecd5583d823a7be9697152435628dd2ff417','edc003bef56f4557b0a6cf8eb4bf2f0cfd942d7dfb2d501dbe9a4899e4caefec');
INSERT INTO "audit" VALUES('main',19,1790000000.0,'action_execution','test','flow.set','01a2151d-b013-7e5b-a8c3-320c5d69a013','succeeded','{"action":"look","attempt":1}','edc003bef56f4557b0a6cf8eb4bf2f0cfd942d7dfb2d501dbe9a4899e4caefec','1506f492d2001515ec52bfd7505dda2effb9280871259fa3cbeeee7d15dc6d1d');
INSERT INTO "audit" VALUES('main',20,1790000000.0,'workflow_execution','test','end','01a2151d-b013-7e5b-a8c3-320c5d69a013','succeeded','{"workflow":"react"}','1506f492d2001515ec52bfd7505dda2effb9280871259fa3cbeeee7d15dc6d1d','7f1882fb37a501a09d75d34d225d40818543f5024a104902f613715484dd1f87');
INSERT INTO "audit" VALUES('main',21,1790000000.0,'action_execution','alerts','flow.set','01a2151d-b01b-7ca1-81c8-32b05cf87538','succeeded','{"action":"set","attempt":1}','7f1882fb37a501a09d75d34d225d40818543f5024a104902f613715484dd1f87','3e91e41fb69b4103c30646f294ff4732834128d0883fb7fad6720cfd667f8657');
INSERT INTO "audit" VALUES('main',22,1790000000.0,'workflow_execution','alerts','end','01a2151d-b01b-7ca1-81c8-32b05cf87538','succeeded','{"workflow":"busy"}','3e91e41fb69b4103c30646f294ff4732834128d0883fb7fad6720cfd667f8657','cd54c36ce5a830fb441457af7a7c9657c3f2ade469df6ee657cf17c6748da182');
INSERT INTO "audit" VALUES('main',23,1790000000.0,'configuration_change','system','token.issue','admin','ok','{"id":"01a2151d-b065-74bf-84de-51a70d0f3996","roles":["automation_admin"],"expires_at":null}','cd54c36ce5a830fb441457af7a7c9657c3f2ade469df6ee657cf17c6748da182','89b71a9bfe80770f2d433039322ab11f5ab37d57431fe8295d05db9a9e740881');
CREATE TABLE audit_heads (
	chain VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit_heads PRIMARY KEY (chain)
);
INSERT INTO "audit_heads" VALUES('main',23,'89b71a9bfe80770f2d433039322ab11f5ab37d57431fe8295d05db9a9e740881');
CREATE TABLE decisions (
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	kind VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	event_source VARCHAR, 
	event_id VARCHAR, 
	CONSTRAINT pk_decisions PRIMARY KEY (seq)
);
INSERT INTO "decisions" VALUES(1,1790000000.0,'start','greet','refused','its cooldown is not over','test','e-1');
CREATE TABLE definitions (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	CONSTRAINT pk_definitions PRIMARY KEY (id)
);
INSERT INTO "definitions" VALUES('2aa0c4caca21b0f6cc0e8dd1bf2f1942','workflow','greet','{"name":"greet","actions":[{"name":"set","action_type":"flow.set","parameters":{"values":{"hello":"${who}"}}}]}',1790000000.0);
INSERT INTO "definitions" VALUES('fa1b9b33b903633cb0c6b2b4399f0e38','workflow','react','{"name":"react","actions":[{"name":"look","action_type":"flow.set","parameters":{"values":{"number":"${event.data.number}"}}}],"triggers":[{"event":"thing","condition":"number > 1","type":"event"}]}',1790000000.0);
INSERT INTO "definitions" VALUES('36dd5bd258225c85b7ba1950dc5218b9','workflow','wait','{"name":"wait","actions":[{"name":"pause","action_type":"flow.wait","parameters":{"seconds":3600}},{"name":"after","action_type":"flow.set","parameters":{"values":{"done":true}}}]}',1790000000.0);
INSERT INTO "definitions" VALUES('b170f17e816ad24d6fe117434be5ba81','workflow','broken','{"name":"broken","actions":[{"name":"fail","action_type":"flow.fail","parameters":{"message":"on purpose"}}]}',1790000000.0);
INSERT INTO "definitions" VALUES('18e7d2e107d1eaaf2da25d2e79a30f9a','workflow','busy','{"name":"busy","description":"Actions of the alert busy","actions":[{"name":"set","action_type":"flow.set","parameters":{"values":{"acted":true}}}],"triggers":[{"alert":"busy","condition":"event.source == ''alerts''","type":"alert"}],"labels":{"alert":"busy"}}',1790000000.0);
INSERT INTO "definitions" VALUES('4960615e51b4da78a0a17c7f488de6e7','alert','busy','{"name":"busy","condition":"cpu > 80","actions":[{"type":"flow.set","parameters":{"values":{"acted":true}}}],"cooldown_period":60.0}',1790000000.0);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	id VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	severity VARCHAR, 
	time DOUBLE NOT NULL, 
	received_at DOUBLE NOT NULL, 
	data TEXT NOT NULL, 
	labels TEXT NOT NULL, 
	matched BOOLEAN NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT uq_events_source_id UNIQUE (source, id)
);
INSERT INTO "events" VALUES(1,'test','e-1','thing','s',NULL,1.79565059686751437185e+09,1790000000.0,'{"number":1}','{"a":"b"}',0);
INSERT INTO "events" VALUES(2,'test','e-2','thing','s',NULL,1.79565059688366627697e+09,1790000000.0,'{"number":2}','{"a":"b"}',1);
INSERT INTO "events" VALUES(3,'alerts','de3e898407e3da62:firing:1790000000.0','alert.firing','a1','medium',1790000000.0,1790000000.0,'{"alert":"busy","status":"firing","fingerprint":"de3e898407e3da62","severity":"medium","condition":"cpu > 80","value":91.5,"starts_at":1790000000.0,"labels":{},"annotations":{}}','{}',1);
CREATE TABLE executions (
	id VARCHAR NOT NULL, 
	workflow VARCHAR NOT NULL, 
	definition_id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	priority INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	wake_at DOUBLE, 
	node VARCHAR, 
	event_source VARCHAR, 
	event_id VARCHAR, 
	reason TEXT NOT NULL, 
	actor VARCHAR NOT NULL, 
	idempotency_key VARCHAR, 
	request_hash VARCHAR, 
	cancel_reason TEXT, 
	error TEXT, 
	CONSTRAINT pk_executions PRIMARY KEY (id), 
	CONSTRAINT fk_executions_definition_id FOREIGN KEY(definition_id) REFERENCES definitions (id)
);
INSERT INTO "executions" VALUES('01a2151d-af9e-7448-bc2d-97f472c38100','greet','2aa0c4caca21b0f6cc0e8dd1bf2f1942','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local',NULL,'9b26e169a34b1b40384c5f5ecd07ee11',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151d-afe4-7cf5-ac7d-0c41eccd60bc','greet','2aa0c4caca21b0f6cc0e8dd1bf2f1942','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local','deploy-42','40d214f1769479f0afe5fa4cbc32551b',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151d-aff4-717d-be2d-11ed5efcc991','broken','b170f17e816ad24d6fe117434be5ba81','failed',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local',NULL,'',NULL,'{"type":"Refused","message":"on purpose","attempt":1,"action":"fail"}');
INSERT INTO "executions" VALUES('01a2151d-b013-7e5b-a8c3-320c5d69a013','react','fa1b9b33b903633cb0c6b2b4399f0e38','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,'test','e-2','event thing: event thing of test','test',NULL,'',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151d-b01b-7ca1-81c8-32b05cf87538','busy','18e7d2e107d1eaaf2da25d2e79a30f9a','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,'alerts','de3e898407e3da62:firing:1790000000.0','alert busy firing: event alert.firing of alerts','alerts',NULL,'',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151d-b035-7b46-b10c-5cb824070193','wait','36dd5bd258225c85b7ba1950dc5218b9','waiting',2,1790000000.0,1790000000.0,NULL,1790003600.0,NULL,NULL,NULL,'asked for','local',NULL,'',NULL,NULL);
CREATE TABLE journal (
	execution_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	kind VARCHAR NOT NULL, 
	action VARCHAR, 
	body TEXT NOT NULL, 
	CONSTRAINT pk_journal PRIMARY KEY (execution_id, seq)
)
 WITHOUT ROWID

;
INSERT INTO "journal" VALUES('01a2151d-af9e-7448-bc2d-97f472c38100',1,1790000000.0,'started',NULL,'{"variables":{"who":"wörld"},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151d-af9e-7448-bc2d-97f472c38100',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"hello":"wörld"}}}');
INSERT INTO "journal" VALUES('01a2151d-af9e-7448-bc2d-97f472c38100',3,1790000000.0,'action_completed','set','{"outputs":{"hello":"wörld"}}');
INSERT INTO "journal" VALUES('01a2151d-af9e-7448-bc2d-97f472c38100',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151d-afe4-7cf5-ac7d-0c41eccd60bc',1,1790000000.0,'started',NULL,'{"variables":{"who":"you"},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151d-afe4-7cf5-ac7d-0c41eccd60bc',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"hello":"you"}}}');
INSERT INTO "journal" VALUES('01a2151d-afe4-7cf5-ac7d-0c41eccd60bc',3,1790000000.0,'action_completed','set','{"outputs":{"hello":"you"}}');
INSERT INTO "journal" VALUES('01a2151d-afe4-7cf5-ac7d-0c41eccd60bc',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151d-aff4-717d-be2d-11ed5efcc991',1,1790000000.0,'started',NULL,'{"variables":{},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151d-aff4-717d-be2d-11ed5efcc991',2,1790000000.0,'action_started','fail','{"attempt":1,"operation":"flow.fail","parameters":{"message":"on purpose"}}');
INSERT INTO "journal" VALUES('01a2151d-aff4-717d-be2d-11ed5efcc991',3,1790000000.0,'action_failed','fail','{"error":{"type":"Refused","message":"on purpose","attempt":1}}');
INSERT INTO "journal" VALUES('01a2151d-aff4-717d-be2d-11ed5efcc991',4,1790000000.0,'finished',NULL,'{"status":"failed","error":{"type":"Refused","message":"on purpose","attempt":1,"action":"fail"}}');
INSERT INTO "journal" VALUES('01a2151d-b013-7e5b-a8c3-320c5d69a013',1,1790000000.0,'started',NULL,'{"variables":{},"event":{"type":"thing","subject":"s","source":"test","severity":null,"id":"e-2","time":1795650596.8836663,"data":{"number":2},"labels":{"a":"b"}},"reason":"event thing: event thing of test"}');
INSERT INTO "journal" VALUES('01a2151d-b013-7e5b-a8c3-320c5d69a013',2,1790000000.0,'action_started','look','{"attempt":1,"operation":"flow.set","parameters":{"values":{"number":2}}}');
INSERT INTO "journal" VALUES('01a2151d-b013-7e5b-a8c3-320c5d69a013',3,1790000000.0,'action_completed','look','{"outputs":{"number":2}}');
INSERT INTO "journal" VALUES('01a2151d-b013-7e5b-a8c3-320c5d69a013',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151d-b01b-7ca1-81c8-32b05cf87538',1,1790000000.0,'started',NULL,'{"variables":{},"event":{"type":"alert.firing","subject":"a1","source":"alerts","severity":"medium","id":"de3e898407e3da62:firing:1790000000.0","time":1790000000.0,"data":{"alert":"busy","status":"firing","fingerprint":"de3e898407e3da62","severity":"medium","condition":"cpu > 80","value":91.5,"starts_at":1790000000.0,"labels":{},"annotations":{}},"labels":{}},"reason":"alert busy firing: event alert.firing of alerts"}');
INSERT INTO "journal" VALUES('01a2151d-b01b-7ca1-81c8-32b05cf87538',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"acted":true}}}');
INSERT INTO "journal" VALUES('01a2151d-b01b-7ca1-81c8-32b05cf87538',3,1790000000.0,'action_completed','set','{"outputs":{"acted":true}}');
INSERT INTO "journal" VALUES('01a2151d-b01b-7ca1-81c8-32b05cf87538',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151d-b035-7b46-b10c-5cb824070193',1,1790000000.0,'started',NULL,'{"variables":{},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151d-b035-7b46-b10c-5cb824070193',2,1790000000.0,'action_started','pause','{"attempt":1,"operation":"flow.wait","parameters":{"seconds":3600}}');
INSERT INTO "journal" VALUES('01a2151d-b035-7b46-b10c-5cb824070193',3,1790000000.0,'action_waiting','pause','{"until":1790003600.0,"reason":"waits for 3600 s"}');
CREATE TABLE nodes (
	id VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started DOUBLE NOT NULL, 
	started_at DOUBLE NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (id)
);
INSERT INTO "nodes" VALUES('01a2151d-81e4-721a-8cda-07a10afe783e','host-1',14527,4589.63,1790000000.0,1790000015.0);
CREATE TABLE notifications (
	id VARCHAR NOT NULL, 
	channel VARCHAR NOT NULL, 
	recipient VARCHAR NOT NULL, 
	text TEXT NOT NULL, 
	status VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	error TEXT, 
	created_at DOUBLE NOT NULL, 
	sent_at DOUBLE, 
	CONSTRAINT pk_notifications PRIMARY KEY (id)
);
INSERT INTO "notifications" VALUES('n-1','slack','#ops','hello','sent',1,NULL,1790000000.0,1790000001.0);
CREATE TABLE positions (
	name VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	CONSTRAINT pk_positions PRIMARY KEY (name)
);
INSERT INTO "positions" VALUES('current.workflow.greet','"2aa0c4caca21b0f6cc0e8dd1bf2f1942"',1790000000.0);
INSERT INTO "positions" VALUES('current.workflow.react','"fa1b9b33b903633cb0c6b2b4399f0e38"',1790000000.0);
INSERT INTO "positions" VALUES('current.workflow.wait','"36dd5bd258225c85b7ba1950dc5218b9"',1790000000.0);
INSERT INTO "positions" VALUES('current.workflow.broken','"b170f17e816ad24d6fe117434be5ba81"',1790000000.0);
INSERT INTO "positions" VALUES('current.workflow.busy','"18e7d2e107d1eaaf2da25d2e79a30f9a"',1790000000.0);
INSERT INTO "positions" VALUES('registered.alert.busy','"4960615e51b4da78a0a17c7f488de6e7"',1790000000.0);
INSERT INTO "positions" VALUES('current.alert.busy','"4960615e51b4da78a0a17c7f488de6e7"',1790000000.0);
INSERT INTO "positions" VALUES('source/file','{"offset":7}',1790000000.0);
CREATE TABLE tokens (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	roles TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE, 
	revoked_at DOUBLE, 
	CONSTRAINT pk_tokens PRIMARY KEY (id), 
	CONSTRAINT uq_tokens_hash UNIQUE (hash)
);
INSERT INTO "tokens" VALUES('01a2151d-b065-74bf-84de-51a70d0f3996','api','admin','1f042bd3aa783049a9f543aa2e44716a8af3d740f7004982a1c055b6a1536cbc','["automation_admin"]',1790000000.0,NULL,NULL);
CREATE INDEX ix_alerts_state_updated_at ON alerts (state, updated_at);
CREATE INDEX ix_alerts_updated_at_fingerprint ON alerts (updated_at, fingerprint);
CREATE INDEX ix_decisions_event_source_event_id ON decisions (event_source, event_id);
CREATE INDEX ix_decisions_kind_seq ON decisions (kind, seq);
CREATE INDEX ix_definitions_kind_name_created_at ON definitions (kind, name, created_at);
CREATE INDEX ix_events_type_seq ON events (type, seq);
CREATE INDEX ix_notifications_created_at ON notifications (created_at);
CREATE INDEX ix_executions_event ON executions (event_source, event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX ix_executions_key ON executions (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_executions_status_id ON executions (status, id);
CREATE INDEX ix_executions_unfinished ON executions (node, wake_at) WHERE finished_at IS NULL;
CREATE INDEX ix_executions_workflow_id ON executions (workflow, id);
COMMIT;
