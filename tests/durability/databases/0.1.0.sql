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
INSERT INTO "audit" VALUES('main',3,1790000000.0,'configuration_change','local','workflow.register','wait','ok','{"version":"d1af288d6a40ee6731c8ec0982ad1656"}','9ad1efb8c80a511bd882f943c1c963ac3d5130ecb5ffddb7529cb984987aa549','eab74e355e769a9f2614e4028e77e38bf799ff6d8207b39ef8c5535a63cb0a48');
INSERT INTO "audit" VALUES('main',4,1790000000.0,'configuration_change','local','workflow.register','broken','ok','{"version":"b170f17e816ad24d6fe117434be5ba81"}','eab74e355e769a9f2614e4028e77e38bf799ff6d8207b39ef8c5535a63cb0a48','07f1f5f4dddf3c5ace5179633c666e86fc6144db58ccde61d2451a27b04c43c6');
INSERT INTO "audit" VALUES('main',5,1790000000.0,'configuration_change','local','workflow.register','busy','ok','{"version":"18e7d2e107d1eaaf2da25d2e79a30f9a"}','07f1f5f4dddf3c5ace5179633c666e86fc6144db58ccde61d2451a27b04c43c6','b3538f6703513f7a3d7125a7fd543b1706da65a5a53120186bdd7a3027cf9d47');
INSERT INTO "audit" VALUES('main',6,1790000000.0,'configuration_change','local','alert.register','busy','ok','{"version":"4960615e51b4da78a0a17c7f488de6e7"}','b3538f6703513f7a3d7125a7fd543b1706da65a5a53120186bdd7a3027cf9d47','3daf71a958353e88236fbeddcc0a93017c09a34abb4486db159a8ddaf4385e56');
INSERT INTO "audit" VALUES('main',7,1790000000.0,'workflow_execution','local','start','01a2151f-9783-7a31-9c61-79ac5e28ab72','ok','{"workflow":"greet","reason":"asked for"}','3daf71a958353e88236fbeddcc0a93017c09a34abb4486db159a8ddaf4385e56','9fd55f83bbdeb3e4bb38f10963ecbe1cfb0c8e5a697087487b77a0e94a5f6345');
INSERT INTO "audit" VALUES('main',8,1790000000.0,'action_execution','local','flow.set','01a2151f-9783-7a31-9c61-79ac5e28ab72','succeeded','{"action":"set","attempt":1}','9fd55f83bbdeb3e4bb38f10963ecbe1cfb0c8e5a697087487b77a0e94a5f6345','01748e9e300c692266f1ed1e8dff2da27b257d5d6f6901f05eb04d1f6081c361');
INSERT INTO "audit" VALUES('main',9,1790000000.0,'workflow_execution','local','end','01a2151f-9783-7a31-9c61-79ac5e28ab72','succeeded','{"workflow":"greet"}','01748e9e300c692266f1ed1e8dff2da27b257d5d6f6901f05eb04d1f6081c361','ac8a1b52819e99ad156c5ace868372670a6b4eb1b131b4118dd31030362fe4cb');
INSERT INTO "audit" VALUES('main',10,1790000000.0,'workflow_execution','local','start','01a2151f-9796-745f-a8fb-d7914bef4c87','ok','{"workflow":"greet","reason":"asked for"}','ac8a1b52819e99ad156c5ace868372670a6b4eb1b131b4118dd31030362fe4cb','effae2958f5b8da5d1b6298c47ab35cf27ed6093e16938b3197d01fe8e27a3f9');
INSERT INTO "audit" VALUES('main',11,1790000000.0,'workflow_execution','local','start','01a2151f-979e-7eac-ac62-c44b20eeffe6','ok','{"workflow":"broken","reason":"asked for"}','effae2958f5b8da5d1b6298c47ab35cf27ed6093e16938b3197d01fe8e27a3f9','25f9d07a4c2ce526eb8cce068020d42fb81a92b8fe7da413f83b36849223637c');
INSERT INTO "audit" VALUES('main',12,1790000000.0,'action_execution','local','flow.set','01a2151f-9796-745f-a8fb-d7914bef4c87','succeeded','{"action":"set","attempt":1}','25f9d07a4c2ce526eb8cce068020d42fb81a92b8fe7da413f83b36849223637c','b4f195b9032fd4eec119fe1adb9268525307659b46abafa25e08e12902d5562e');
INSERT INTO "audit" VALUES('main',13,1790000000.0,'workflow_execution','local','end','01a2151f-9796-745f-a8fb-d7914bef4c87','succeeded','{"workflow":"greet"}','b4f195b9032fd4eec119fe1adb9268525307659b46abafa25e08e12902d5562e','c8c1dcf486c43f3610a2bd12cf8db9fd088016dcf2456bd267bfc18db78aab54');
INSERT INTO "audit" VALUES('main',14,1790000000.0,'action_execution','local','flow.fail','01a2151f-979e-7eac-ac62-c44b20eeffe6','failed','{"action":"fail","type":"Refused","message":"on purpose","attempt":1}','c8c1dcf486c43f3610a2bd12cf8db9fd088016dcf2456bd267bfc18db78aab54','57449558320a83c2c35a995b4cf801d8e3ed8eb7ca977cecdf856912e4b910a5');
INSERT INTO "audit" VALUES('main',15,1790000000.0,'workflow_execution','local','end','01a2151f-979e-7eac-ac62-c44b20eeffe6','failed','{"workflow":"broken"}','57449558320a83c2c35a995b4cf801d8e3ed8eb7ca977cecdf856912e4b910a5','7533de11a58a5fe944ab1f9a11fa48e4a7abf992da6f6f15db149fdba5414c4b');
INSERT INTO "audit" VALUES('main',16,1790000000.0,'workflow_execution','test','start','01a2151f-97c2-7be0-803b-956c4d7d6eb0','ok','{"workflow":"react","reason":"event thing: event thing of test"}','7533de11a58a5fe944ab1f9a11fa48e4a7abf992da6f6f15db149fdba5414c4b','e31eefb289c541c02b2881631814fb5be82352fc399235881fc73445f292b565');
INSERT INTO "audit" VALUES('main',17,1790000000.0,'workflow_execution','alerts','start','01a2151f-97c5-775a-a855-6328595c1c38','ok','{"workflow":"busy","reason":"alert busy firing: event alert.firing of alerts"}','e31eefb289c541c02b2881631814fb5be82352fc399235881fc73445f292b565','bb932c0db6355ca86f4c5a27c7b0012b43e81dba7ba520259b18ffe863ee2c24');
INSERT INTO "audit" VALUES('main',18,1790000000.0,'workflow_execution','local','start','01a2151f-97c9-7db2-a33e-69d205d9be9a','ok','{"workflow":"wait","reason":"asked for"}','bb932c0db6355ca86f4c5a27c7b0012b43e81dba7ba520259b18ffe863ee2c24','11f9687f7b36b350b911d4068cdbd3588c485748572deffc836d526aa2acc357');
INSERT INTO "audit" VALUES('main',19,1790000000.0,'action_execution','test','flow.set','01a2151f-97c2-7be0-803b-956c4d7d6eb0','succeeded','{"action":"look","attempt":1}','11f9687f7b36b350b911d4068cdbd3588c485748572deffc836d526aa2acc357','b2f8601de0da216bb7afffa31bc0545e32d0c632313032f0e9cd0eae2a765b22');
INSERT INTO "audit" VALUES('main',20,1790000000.0,'workflow_execution','test','end','01a2151f-97c2-7be0-803b-956c4d7d6eb0','succeeded','{"workflow":"react"}','b2f8601de0da216bb7afffa31bc0545e32d0c632313032f0e9cd0eae2a765b22','c1a128c31626fb6ac0a7d756bbf1c1ad095e87e368641d3faf925c41be26ee74');
INSERT INTO "audit" VALUES('main',21,1790000000.0,'action_execution','alerts','flow.set','01a2151f-97c5-775a-a855-6328595c1c38','succeeded','{"action":"set","attempt":1}','c1a128c31626fb6ac0a7d756bbf1c1ad095e87e368641d3faf925c41be26ee74','a31b26ac8c0d228f39736ae6159244486a3a42b1534a03d00061b826c7ab85dd');
INSERT INTO "audit" VALUES('main',22,1790000000.0,'workflow_execution','alerts','end','01a2151f-97c5-775a-a855-6328595c1c38','succeeded','{"workflow":"busy"}','a31b26ac8c0d228f39736ae6159244486a3a42b1534a03d00061b826c7ab85dd','77b98a6ff73cdbebb9cf9dd2f1213ed0b984cf0d37f2cea19662c2bb4a18f0af');
INSERT INTO "audit" VALUES('main',23,1790000000.0,'configuration_change','system','token.issue','admin','ok','{"id":"01a2151f-97d5-70cc-84a6-2c1c3e0035db","roles":["automation_admin"],"expires_at":null}','77b98a6ff73cdbebb9cf9dd2f1213ed0b984cf0d37f2cea19662c2bb4a18f0af','2f2a354d6d9ab5aa4f2858b5feccd706c153ce1f4932378aef9e00bbae618533');
CREATE TABLE audit_heads (
	chain VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit_heads PRIMARY KEY (chain)
);
INSERT INTO "audit_heads" VALUES('main',23,'2f2a354d6d9ab5aa4f2858b5feccd706c153ce1f4932378aef9e00bbae618533');
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
INSERT INTO "definitions" VALUES('d1af288d6a40ee6731c8ec0982ad1656','workflow','wait','{"name":"wait","actions":[{"name":"pause","action_type":"flow.wait","parameters":{"seconds":60}},{"name":"after","action_type":"flow.set","parameters":{"values":{"done":true}}}]}',1790000000.0);
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
INSERT INTO "events" VALUES(1,'test','e-1','thing','s',NULL,1.79565072172767662998e+09,1790000000.0,'{"number":1}','{"a":"b"}',0);
INSERT INTO "events" VALUES(2,'test','e-2','thing','s',NULL,1.79565072173059916494e+09,1790000000.0,'{"number":2}','{"a":"b"}',1);
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
INSERT INTO "executions" VALUES('01a2151f-9783-7a31-9c61-79ac5e28ab72','greet','2aa0c4caca21b0f6cc0e8dd1bf2f1942','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local',NULL,'9b26e169a34b1b40384c5f5ecd07ee11',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151f-9796-745f-a8fb-d7914bef4c87','greet','2aa0c4caca21b0f6cc0e8dd1bf2f1942','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local','deploy-42','40d214f1769479f0afe5fa4cbc32551b',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151f-979e-7eac-ac62-c44b20eeffe6','broken','b170f17e816ad24d6fe117434be5ba81','failed',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,'asked for','local',NULL,'',NULL,'{"type":"Refused","message":"on purpose","attempt":1,"action":"fail"}');
INSERT INTO "executions" VALUES('01a2151f-97c2-7be0-803b-956c4d7d6eb0','react','fa1b9b33b903633cb0c6b2b4399f0e38','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,'test','e-2','event thing: event thing of test','test',NULL,'',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151f-97c5-775a-a855-6328595c1c38','busy','18e7d2e107d1eaaf2da25d2e79a30f9a','succeeded',2,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,'alerts','de3e898407e3da62:firing:1790000000.0','alert busy firing: event alert.firing of alerts','alerts',NULL,'',NULL,NULL);
INSERT INTO "executions" VALUES('01a2151f-97c9-7db2-a33e-69d205d9be9a','wait','d1af288d6a40ee6731c8ec0982ad1656','waiting',2,1790000000.0,1790000000.0,NULL,1790000060.0,NULL,NULL,NULL,'asked for','local',NULL,'',NULL,NULL);
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
INSERT INTO "journal" VALUES('01a2151f-9783-7a31-9c61-79ac5e28ab72',1,1790000000.0,'started',NULL,'{"variables":{"who":"wörld"},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151f-9783-7a31-9c61-79ac5e28ab72',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"hello":"wörld"}}}');
INSERT INTO "journal" VALUES('01a2151f-9783-7a31-9c61-79ac5e28ab72',3,1790000000.0,'action_completed','set','{"outputs":{"hello":"wörld"}}');
INSERT INTO "journal" VALUES('01a2151f-9783-7a31-9c61-79ac5e28ab72',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151f-9796-745f-a8fb-d7914bef4c87',1,1790000000.0,'started',NULL,'{"variables":{"who":"you"},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151f-9796-745f-a8fb-d7914bef4c87',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"hello":"you"}}}');
INSERT INTO "journal" VALUES('01a2151f-9796-745f-a8fb-d7914bef4c87',3,1790000000.0,'action_completed','set','{"outputs":{"hello":"you"}}');
INSERT INTO "journal" VALUES('01a2151f-9796-745f-a8fb-d7914bef4c87',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151f-979e-7eac-ac62-c44b20eeffe6',1,1790000000.0,'started',NULL,'{"variables":{},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151f-979e-7eac-ac62-c44b20eeffe6',2,1790000000.0,'action_started','fail','{"attempt":1,"operation":"flow.fail","parameters":{"message":"on purpose"}}');
INSERT INTO "journal" VALUES('01a2151f-979e-7eac-ac62-c44b20eeffe6',3,1790000000.0,'action_failed','fail','{"error":{"type":"Refused","message":"on purpose","attempt":1}}');
INSERT INTO "journal" VALUES('01a2151f-979e-7eac-ac62-c44b20eeffe6',4,1790000000.0,'finished',NULL,'{"status":"failed","error":{"type":"Refused","message":"on purpose","attempt":1,"action":"fail"}}');
INSERT INTO "journal" VALUES('01a2151f-97c2-7be0-803b-956c4d7d6eb0',1,1790000000.0,'started',NULL,'{"variables":{},"event":{"type":"thing","subject":"s","source":"test","severity":null,"id":"e-2","time":1795650721.7305992,"data":{"number":2},"labels":{"a":"b"}},"reason":"event thing: event thing of test"}');
INSERT INTO "journal" VALUES('01a2151f-97c2-7be0-803b-956c4d7d6eb0',2,1790000000.0,'action_started','look','{"attempt":1,"operation":"flow.set","parameters":{"values":{"number":2}}}');
INSERT INTO "journal" VALUES('01a2151f-97c2-7be0-803b-956c4d7d6eb0',3,1790000000.0,'action_completed','look','{"outputs":{"number":2}}');
INSERT INTO "journal" VALUES('01a2151f-97c2-7be0-803b-956c4d7d6eb0',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151f-97c5-775a-a855-6328595c1c38',1,1790000000.0,'started',NULL,'{"variables":{},"event":{"type":"alert.firing","subject":"a1","source":"alerts","severity":"medium","id":"de3e898407e3da62:firing:1790000000.0","time":1790000000.0,"data":{"alert":"busy","status":"firing","fingerprint":"de3e898407e3da62","severity":"medium","condition":"cpu > 80","value":91.5,"starts_at":1790000000.0,"labels":{},"annotations":{}},"labels":{}},"reason":"alert busy firing: event alert.firing of alerts"}');
INSERT INTO "journal" VALUES('01a2151f-97c5-775a-a855-6328595c1c38',2,1790000000.0,'action_started','set','{"attempt":1,"operation":"flow.set","parameters":{"values":{"acted":true}}}');
INSERT INTO "journal" VALUES('01a2151f-97c5-775a-a855-6328595c1c38',3,1790000000.0,'action_completed','set','{"outputs":{"acted":true}}');
INSERT INTO "journal" VALUES('01a2151f-97c5-775a-a855-6328595c1c38',4,1790000000.0,'finished',NULL,'{"status":"succeeded"}');
INSERT INTO "journal" VALUES('01a2151f-97c9-7db2-a33e-69d205d9be9a',1,1790000000.0,'started',NULL,'{"variables":{},"event":null,"reason":"asked for"}');
INSERT INTO "journal" VALUES('01a2151f-97c9-7db2-a33e-69d205d9be9a',2,1790000000.0,'action_started','pause','{"attempt":1,"operation":"flow.wait","parameters":{"seconds":60}}');
INSERT INTO "journal" VALUES('01a2151f-97c9-7db2-a33e-69d205d9be9a',3,1790000000.0,'action_waiting','pause','{"until":1790000060.0,"reason":"waits for 60 s"}');
CREATE TABLE nodes (
	id VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started DOUBLE NOT NULL, 
	started_at DOUBLE NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (id)
);
INSERT INTO "nodes" VALUES('01a2151f-8cd2-7332-a647-64f732aeda84','host-1',15909,4726.81,1790000000.0,1790000015.0);
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
INSERT INTO "positions" VALUES('current.workflow.wait','"d1af288d6a40ee6731c8ec0982ad1656"',1790000000.0);
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
INSERT INTO "tokens" VALUES('01a2151f-97d5-70cc-84a6-2c1c3e0035db','api','admin','ee5862bf0be772c26dd13fefe17d5835fc975e58388daa6562698bc2e070658e','["automation_admin"]',1790000000.0,NULL,NULL);
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
